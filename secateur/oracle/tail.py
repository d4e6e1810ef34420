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

from secateur.gated import GatedLoss, GatedNetwork, Tile, exactly, finite
from secateur.units.graph import Env, argument, run, shape_for_one

WORKING_SET = 1 << 20
"""Elements of the largest value that a chunk of candidates makes: in float32 about what the cores' caches hold."""


@dataclass(frozen=True)
class Front:
    """Candidates with the same readers, and what has to run when one of their gates changes."""

    candidates: Tensor  # positions in the list of candidates
    units: Tensor  # their units
    first: Mapping[Node, Tensor]  # readers that see the change through the unit alone: (candidates, columns of each)
    tail: tuple[Node, ...]  # the operators that depend on those, in order, the first readers left out
    largest: int  # elements of the largest value there, for one example


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
        loss, network, base = self.loss, self.loss.network, self.base
        units = self.front.units[self.part].to(gains.device)
        nodes = list(self.front.first)
        pieces = [_pieces(network, node, base, self.front.first[node][self.part].to(gains.device)) for node in nodes]
        positions = torch.arange(len(self.gates), device=gains.device)
        outputs = [item for item in network.graph.output if isinstance(item, Node) and isinstance(base[item], Tensor)]

        def answers(unit: Tensor, gain: Tensor, *updates: Sequence[Tensor]) -> Any:
            env = dict(base)
            for node, (value, weight) in zip(nodes, updates, strict=True):
                env[node] = base[node] + _contract(node, value * (gain - 1).to(value.dtype), weight)
            changed = torch.where(positions == unit, gain, self.gates)
            network.graph.run(env, nodes=self.front.tail, replace=network.replace(changed))
            return loss.losses(network.graph.result(env), self.tile) if loss.maps else [env[item] for item in outputs]

        with exactly():
            results = torch.func.vmap(answers)(units, gains, *pieces)
            if not loss.maps:  # a user's own loss: one candidate at a time
                rows = (dict(zip(outputs, row, strict=True)) for row in zip(*results, strict=True))
                answer = network.graph.result
                results = torch.stack([loss.losses(answer({**base, **row}), self.tile) for row in rows])
        finite(results.detach().sum(0), self.tile, self.gates, loss.units)
        return results


def chunks(loss: GatedLoss, gates: Tensor, units: Sequence[int], working_set: int = WORKING_SET) -> Iterator[Chunk]:
    """Every candidate on every tile; `units` may name a unit more than once (for several gains)."""
    fronts = find_fronts(loss.network, units)
    for tile in loss.tiles():
        with torch.no_grad(), exactly():
            base = base_forward(loss.network, tile, gates, fronts)
            on = finite(loss.losses(loss.network.graph.result(base), tile), tile, gates, loss.units)
        for front in fronts:
            step = max(1, working_set // (front.largest * len(tile)))
            for start in range(0, len(front.units), step):
                yield Chunk(loss, gates, tile, base, on, front, slice(start, start + step))


def find_fronts(network: GatedNetwork, units: Sequence[int]) -> list[Front]:
    """Group candidates by the readers that they reach, and by how many columns they have there."""
    columns: dict[int, dict[Node, list[int]]] = {unit: {} for unit in units}
    for node, reading in network.readings.items():
        for column, owner in enumerate(reading.owner.tolist()):
            if owner in columns:
                columns[owner].setdefault(node, []).append(column)
    groups: dict[tuple[tuple[Node, int], ...], list[int]] = {}
    for candidate, unit in enumerate(units):
        groups.setdefault(tuple((node, len(found)) for node, found in columns[unit].items()), []).append(candidate)
    fronts = []
    for key, members in groups.items():
        readers = [node for node, _ in key]
        affected = network.graph.descendants(readers)
        first = [node for node in readers if argument(node, 0) not in affected]
        tail = tuple(node for node in network.graph.nodes if node in affected and node not in first)
        values = [node for node in (*first, *tail) if isinstance(node.meta.get("val"), Tensor)]
        largest = max(torch.Size(shape_for_one(node)).numel() for node in values)
        first_columns = {node: torch.tensor([columns[units[at]][node] for at in members]) for node in first}
        chosen = torch.tensor([units[at] for at in members])
        fronts.append(Front(torch.tensor(members), chosen, first_columns, tail, largest))
    return fronts


def base_forward(network: GatedNetwork, tile: Tile, gates: Tensor, fronts: Sequence[Front]) -> Env:
    """The network's values under these gates: those that some front starts from, and its answer."""
    keep: set[Node] = set()
    for front in fronts:
        inside = set(front.tail)
        for node in front.first:
            keep |= {node, *node.all_input_nodes}
        for node in front.tail:
            keep |= {source for source in node.all_input_nodes if source not in inside}
    env = network.graph.leaves(tile.inputs, gates.device)
    return network.graph.run(env, replace=network.replace(gates), keep=keep)


def second_derivatives(loss: GatedLoss, gates: Tensor, units: Tensor) -> Tensor:
    """d2E/dg_u2 for each of these units, exact: agrees with GatedLoss.curvature, which runs the whole network.

    Each candidate's losses depend on its own gate alone, so two backward passes through the tail serve a whole chunk.

    Shape: gates (K,), units (n,) positions, on in `gates` -> (n,) float64.
    """
    found = torch.zeros(len(units), dtype=torch.float64, device=gates.device)
    for chunk in chunks(loss, gates, units.tolist(), WORKING_SET // 4):  # what the passes keep takes room too
        gains = torch.ones(len(chunk.candidates), dtype=gates.dtype, device=gates.device, requires_grad=True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(chunk.losses(gains).sum(), gains, create_graph=True)
            if slope.requires_grad:  # a slope that depends on no gain is the same everywhere
                (curvature,) = torch.autograd.grad(slope.sum(), gains, allow_unused=True)
                if curvature is not None:
                    found[chunk.candidates] += curvature
    return found


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
