"""The network with a gate on every unit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.fx import Node

from secateur.units import Graph, Reading, UnitSet
from secateur.units.graph import Env, argument, evaluate

Off = Literal["zero", "mean"]


class GatedNetwork:
    """A network whose units are multiplied by gates where they are read.

    value read = m + g (value - m),   m = 0 for off="zero", the unit's mean over the examples for off="mean"
    """

    def __init__(self, graph: Graph, units: UnitSet, off: Off = "zero") -> None:
        self.graph = graph
        self.units = units
        self.off = off
        self.readings: dict[Node, Reading] = {r.node: r for r in units.readings if bool((r.owner >= 0).any())}
        self.means: dict[Node, Tensor] = {}
        self.tails: dict[tuple[Node, ...], Any] = {}  # what engines worked out of the structure, by the readers

    def read(self, reading: Reading, value: Tensor, gates: Tensor) -> Tensor:
        """What the reader receives."""
        gate = self._gate(reading, gates, value, reading.dim)
        if self.off == "zero":
            return value * gate
        mean = reading.shape(value, self.means[reading.node])
        return mean + gate * (value - mean)

    def _gate(self, reading: Reading, gates: Tensor, value: Tensor, dim: int) -> Tensor:
        """The gates of what is read, along one dimension of a tensor that they multiply."""
        one = torch.cat((gates, gates.new_ones(1))).to(value.dtype)  # index -1: what belongs to no unit is always on
        shape = [1] * value.dim()
        shape[dim] = -1
        return one[reading.owner.to(gates.device)].view(shape)

    def replace(self, gates: Tensor) -> Callable[[Node, Env], Any]:
        """For Graph.run: the readers' operators, on gated inputs."""

        def gated(node: Node, env: Env) -> Any:
            reading = self.readings.get(node)
            if reading is None:
                return None
            source, weight = argument(node, 0), argument(node, 1)
            if self.off == "zero" and not gates.requires_grad and len(reading.owner) == env[weight].shape[1]:
                # The same product, with a factor in the other place: weights are much smaller than what they read.
                return evaluate(node, {**env, weight: env[weight] * self._gate(reading, gates, env[weight], dim=1)})
            return evaluate(node, {**env, source: self.read(reading, env[source], gates)})

        return gated

    def __call__(self, inputs: Sequence[Tensor], gates: Tensor) -> Any:
        """The network's answer under these gates."""
        return self.graph.result(self.after(self.before(self.graph.leaves(inputs, gates.device)), gates))

    def before(self, leaves: Env) -> Env:
        """Everything up to the first gates: what is the same under any."""
        keep = {source for node in self.gated for source in node.all_input_nodes}
        env = self.graph.run(dict(leaves), self.ungated, keep=keep)
        return {node: value if node in leaves else _channels_last(value) for node, value in env.items()}

    def after(self, env: Env, gates: Tensor, keep: Collection[Node] = ()) -> Env:
        """Everything else under these gates, given what came before; that is left as it is."""
        return self.graph.run(dict(env), self.gated, self.replace(gates), keep)

    @cached_property
    def gated(self) -> tuple[Node, ...]:
        """The operators that depend on a gate, in order."""
        dependent = self.graph.descendants(self.readings)
        return tuple(node for node in self.graph.nodes if node in dependent)

    @cached_property
    def ungated(self) -> tuple[Node, ...]:
        """The operators that depend on none."""
        gated = set(self.gated)
        return tuple(node for node in self.graph.nodes if node not in gated)

    @cached_property
    def columns(self) -> tuple[Mapping[Node, Sequence[int]], ...]:
        """For each unit, the columns that its readers read of it."""
        found: tuple[dict[Node, list[int]], ...] = tuple({} for _ in self.units)
        for node, reading in self.readings.items():
            for column, owner in enumerate(reading.owner.tolist()):
                if owner >= 0:
                    found[owner].setdefault(node, []).append(column)
        return found

    def sums(self, inputs: Sequence[Tensor]) -> Tensor:
        """For each reader the sum of what it reads, for each index of its contracted dimension, over examples and
        positions; and behind it how many they are."""
        env = self.graph.leaves(inputs, inputs[0].device)
        self.graph.run(env, keep={argument(node, 0) for node in self.readings})
        found = []
        for node, reading in self.readings.items():
            lines = env[argument(node, 0)].to(torch.float64).movedim(reading.dim, 0).flatten(1)
            found += [lines.sum(1), lines.new_full((1,), lines.shape[1])]
        return torch.cat(found)

    def take_means(self, sums: Tensor) -> None:
        """The means of what each reader reads, from the `sums` over all examples."""
        sizes = [len(reading.owner) + 1 for reading in self.readings.values()]
        for node, part in zip(self.readings, sums.split(sizes), strict=True):
            self.means[node] = (part[:-1] / part[-1]).to(argument(node, 0).meta["val"].dtype)


def _channels_last(value: Any) -> Any:
    """Images as processors' convolutions like them: what follows keeps the layout, and is up to twice as fast."""
    if isinstance(value, Tensor) and value.dim() == 4 and value.dtype == torch.float32 and value.device.type == "cpu":
        return value.contiguous(memory_format=torch.channels_last)
    return value
