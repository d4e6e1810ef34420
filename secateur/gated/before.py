"""What is computed once and asked for again: before the first gate it is the same under any; under some gates E(g) asks
for it after a removal, and then the round that follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from secateur.gated.network import GatedNetwork
from secateur.units.graph import Env


class Before:
    """Values up to the first gates, tile by tile, kept while there is room and no parameter changes."""

    def __init__(self, network: GatedNetwork, examples: Any, room: int) -> None:
        self.network, self.examples, self.room = network, examples, room
        self._kept: dict[tuple[int, int], dict[Node, Tensor]] = {}
        self._stamp: Any = None
        self._held = 0

    def __call__(self, span: tuple[int, int], inputs: tuple[Tensor, ...], device: torch.device) -> Env:
        """The environment at the first gates of the tile that holds these examples."""
        leaves = self.network.graph.leaves(inputs, device)
        parameters = [leaves[node] for node in self.network.graph.names]
        if any(value.is_inference() for value in parameters):  # torch does not count the changes of those
            return self.network.before(leaves)
        stamp = [(value.data_ptr(), value._version, value.dtype) for value in parameters]
        if stamp != self._stamp:
            self._kept, self._stamp, self._held = {}, stamp, 0
        if span in self._kept:
            return {**leaves, **self._kept[span]}
        env = self.network.before(leaves)
        made = {node: value for node, value in env.items() if node not in leaves}
        size = _bytes(made.values())
        if self._held + size <= self.room:
            self._kept[span] = made
            self._held += size
        return env

    @property
    def stamp(self) -> Any:
        """What changes when a parameter does: another object; None where that can't be told."""
        return self._stamp


class Under:
    """Values under the gates that were asked about last, tile by tile, as far as an engine wants them."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.wanted: set[Node] = set()
        self._kept: dict[tuple[int, int], Env] = {}
        self._key: Any = None
        self._held = 0

    def __call__(
        self,
        span: tuple[int, int],
        stamp: Any,
        gates: Tensor,
        before: Env,
        keep: Collection[Node],
        make: Callable[[Any], Env],
    ) -> Env:
        """The values of a tile, `keep` among them: those kept, or made by `make(nodes)` from those `before`."""
        self.wanted.update(keep)
        key = (gates.device, gates.cpu().numpy().tobytes())
        if self._key is None or self._key[0] is not stamp or self._key[1] != key:
            self._kept, self._key, self._held = {}, (stamp, key), 0
        found = self._kept.get(span)
        if found is not None and all(node in found or node in before for node in keep):
            return {**before, **found}
        env = make(self.wanted)
        made = {node: value for node, value in env.items() if node not in before}
        size = _bytes(made.values())
        if self.wanted and found is None and self._held + size <= self.room:
            self._kept[span] = made
            self._held += size
        return env


def _bytes(values: Iterable[Any]) -> float:
    """What it takes to keep these; too much where they hold a graph of operations (of inputs that ask for one)."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    return math.inf if any(t.requires_grad for t in tensors) else sum(t.untyped_storage().nbytes() for t in tensors)
