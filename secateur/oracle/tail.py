"""What has to run when one gate changes: from the unit's readers on, many candidates at a time.

Examples outside, candidates inside. One base forward of a tile keeps what the readers read and gave. Changing the gate
of unit u changes what its first readers give by the contraction of u alone (its columns of the weight): one column for
a neuron, several after a flatten, one channel of a convolution. From there on only the operators that depend on it run,
for many candidates at once (torch.func.vmap); everything else comes from the base forward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional

from secateur.gated import GatedLoss, GatedNetwork, Tile, exactly, finite
from secateur.units.graph import Env, argument, operator_name, run, shape_for_one

ALONE = 8
"""Up to so many candidates run one by one: where few fit, one fills the cache, and is faster by itself."""


@dataclass(frozen=True, eq=False)
class Tail:
    """What has to run when the gate of a unit with these readers changes."""

    first: tuple[Node, ...]  # readers that see the change through the unit alone
    nodes: tuple[Node, ...]  # the operators that depend on those, in order, the first readers left out
    again: frozenset[Node]  # the other readers of the unit, among those operators
    largest: int  # elements of the largest value there, for one example


@dataclass(frozen=True, eq=False)
class Front:
    """Candidates with the same readers."""

    tail: Tail
    candidates: Tensor  # positions in the list of candidates
    units: Tensor  # their units
    first: Mapping[Node, Tensor]  # for each first reader the columns of each candidate: (candidates, columns)


@dataclass(frozen=True)
class Chunk:
    """Some candidates on one tile of examples."""

    loss: GatedLoss
    gates: Tensor
    tile: Tile
    base: Env
    on: Tensor  # losses of the examples under `gates`
    front: Front
    part: slice

    @property
    def candidates(self) -> Tensor:
        """Positions in the list of candidates."""
        return self.front.candidates[self.part]

    def losses(self, gains: Tensor) -> Tensor:
        """The losses of the examples with each candidate's gate at its gain, where `gates` has 1.

        Shape: gains (candidates,) -> (candidates, examples) float64.
        """
        loss, network, base, tail = self.loss, self.loss.network, self.base, self.front.tail
        units = self.front.units[self.part].to(gains.device)
        nodes = list(self.front.first)
        pieces = [_pieces(network, node, base, self.front.first[node][self.part].to(gains.device)) for node in nodes]
        positions = torch.arange(len(self.gates), device=gains.device)
        outputs = [item for item in network.graph.output if isinstance(item, Node) and isinstance(base[item], Tensor)]

        def answers(unit: Tensor, gain: Tensor, *updates: Sequence[Tensor]) -> Any:
            env = dict(base)
            for node, (value, weight) in zip(nodes, updates, strict=True):
                env[node] = base[node] + _contract(node, value * (gain - 1).to(value.dtype), weight)
            # A unit that is read again further on has its own gates there; elsewhere all candidates share theirs.
            own, shared = network.replace(torch.where(positions == unit, gain, self.gates)), network.replace(self.gates)
            network.graph.run(
                env, tail.nodes, lambda node, env: (own if node in tail.again else shared)(node, env), keep=()
            )
            return loss.losses(network.graph.result(env), self.tile) if loss.maps else [env[item] for item in outputs]

        with exactly():
            results = torch.func.vmap(answers)(units, gains, *pieces)
            if not loss.maps:  # a user's own loss: one candidate at a time
                rows = (dict(zip(outputs, row, strict=True)) for row in zip(*results, strict=True))
                answer = network.graph.result
                results = torch.stack([loss.losses(answer({**base, **row}), self.tile) for row in rows])
        finite(results.detach().sum(0), self.tile, self.gates, loss.units)
        return results

    def off(self) -> Tensor:
        """The losses of the examples with each candidate off: (candidates, examples) float64."""
        if len(self.candidates) > ALONE:
            return self.losses(self.gates.new_zeros(len(self.candidates)))
        with torch.no_grad(), exactly():
            found = torch.stack([self._alone(at) for at in range(len(self.front.units))[self.part]])
        finite(found.sum(0), self.tile, self.gates, self.loss.units)
        return found

    def _alone(self, at: int) -> Tensor:
        """The same for one candidate of the front, without torch.func: no copies are made to hold many side by side."""
        loss, network, base, tail = self.loss, self.loss.network, self.base, self.front.tail
        env = dict(base)
        for node in tail.first:
            columns = self.front.first[node][at : at + 1].to(loss.device)
            (value,), (weight,) = _pieces(network, node, base, columns)
            env[node] = _less(node, base[node], value, weight)
        unit = self.front.units[at : at + 1].to(loss.device)
        own, shared = network.replace(self.gates.index_fill(0, unit, 0.0)), network.replace(self.gates)
        network.graph.run(
            env, tail.nodes, lambda node, env: (own if node in tail.again else shared)(node, env), keep=()
        )
        return loss.losses(network.graph.result(env), self.tile)


def chunks(loss: GatedLoss, gates: Tensor, tile: Tile, fronts: Sequence[Front], passes: int = 1) -> Iterator[Chunk]:
    """Every candidate of these fronts on one tile, as many at a time as the memory is for; `passes` is how many times
    over the values of a chunk are held (more than once by a backward pass)."""
    base, on = base_forward(loss, gates, tile, fronts)
    for front in fronts:
        yield from chunks_of(loss, gates, tile, front, base, on, passes)


def chunks_of(
    loss: GatedLoss, gates: Tensor, tile: Tile, front: Front, base: Env, on: Tensor, passes: int = 1
) -> Iterator[Chunk]:
    """The candidates of one front, given the base forward."""
    step = loss.memory.at_once(passes * front.tail.largest * len(tile))
    for start in range(0, len(front.units), step):
        yield Chunk(loss, gates, tile, base, on, front, slice(start, start + step))


def find_fronts(network: GatedNetwork, units: Sequence[int]) -> list[Front]:
    """Group candidates by the readers that they reach, and by how many columns they have there; `units` may name a unit
    more than once (for several gains)."""
    columns = network.columns
    groups: dict[tuple[tuple[Node, int], ...], list[int]] = {}
    for candidate, unit in enumerate(units):
        groups.setdefault(tuple((node, len(found)) for node, found in columns[unit].items()), []).append(candidate)
    fronts = []
    for key, members in groups.items():
        tail = _tail(network, tuple(node for node, _ in key))
        first = {node: torch.tensor([columns[units[at]][node] for at in members]) for node in tail.first}
        fronts.append(Front(tail, torch.tensor(members), torch.tensor([units[at] for at in members]), first))
    return fronts


def _tail(network: GatedNetwork, readers: tuple[Node, ...]) -> Tail:
    if readers not in network.tails:
        affected = network.graph.descendants(readers)
        first = tuple(node for node in readers if argument(node, 0) not in affected)
        nodes = tuple(node for node in network.graph.nodes if node in affected and node not in first)
        values = [node for node in (*first, *nodes) if isinstance(node.meta.get("val"), Tensor)]
        largest = max(torch.Size(shape_for_one(node)).numel() for node in values)
        network.tails[readers] = Tail(first, nodes, frozenset(readers).difference(first), largest)
    return network.tails[readers]


def base_forward(loss: GatedLoss, gates: Tensor, tile: Tile, fronts: Sequence[Front]) -> tuple[Env, Tensor]:
    """The network's values under these gates from which the fronts start, and the losses of the examples."""
    keep: set[Node] = set()
    for tail in {front.tail for front in fronts}:
        inside = set(tail.nodes)
        for node in tail.first:
            keep |= {node, *node.all_input_nodes}
        for node in tail.nodes:
            keep |= {source for source in node.all_input_nodes if source not in inside}
    with torch.no_grad(), exactly():
        base = loss.under(tile, gates, keep)
        on = finite(loss.losses(loss.network.graph.result(base), tile), tile, gates, loss.units)
    return base, on


def _pieces(network: GatedNetwork, node: Node, base: Env, columns: Tensor) -> tuple[Tensor, Tensor]:
    """What the gate of each candidate multiplies in the reader's input (B, examples, ..., columns, ...), and the weight
    that reads it (B, out, columns, ...)."""
    reading = network.readings[node]
    value, weight = base[argument(node, 0)], base[argument(node, 1)]
    flat = columns.flatten()

    def gather(tensor: Tensor, dim: int) -> Tensor:
        chosen = tensor.index_select(dim, flat)
        return chosen.unflatten(dim, columns.shape).movedim(dim % tensor.dim(), 0)

    varies = gather(value, reading.dim)
    if network.off == "mean":
        varies = varies - gather(reading.shape(value, network.means[node]), reading.dim)
    return varies, gather(weight, 1)


def _contract(node: Node, value: Tensor, weight: Tensor) -> Tensor:
    """The reader's own operator on one candidate's columns, without the bias."""
    return run(node, value, weight, None, *node.args[3:], **node.kwargs)


def _less(node: Node, given: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """What the reader gave, less its operator on one candidate's columns."""
    rows = operator_name(node) == "aten.conv2d.default" and given.is_contiguous(memory_format=torch.channels_last)
    stride, padding, dilation, groups = (argument(node, at, 1 - (at == 4)) for at in (3, 4, 5, 6))
    if not rows or groups != 1:
        return given - _contract(node, value, weight)
    # A convolution of one channel is a thin product of matrices, which subtracts as it goes: one pass over the memory.
    windows = functional.unfold(value, weight.shape[2:], dilation, padding, stride).transpose(1, 2)
    kernel = weight.flatten(1).T.expand(len(value), -1, -1)
    left = torch.baddbmm(given.permute(0, 2, 3, 1).flatten(1, 2), windows, kernel, alpha=-1)
    return left.unflatten(1, given.shape[2:]).permute(0, 3, 1, 2)
