"""The same scores for a fraction of the work: start at the units' readers, many candidates at a time.

Examples outside, candidates inside. One base forward of a tile keeps what the readers read and gave. Switching unit u off
changes what its first readers give by the contraction of u alone (its columns of the weight): one column for a neuron,
several after a flatten, one channel of a convolution. From there on only the operators that depend on it run, for many
candidates at once (torch.func.vmap); everything else comes from the base forward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from secateur.gated import GatedLoss, GatedNetwork, Tile, exactly, finite
from secateur.units.graph import Env, shape_for_one

WORKING_SET = 1 << 21
"""Elements of the largest value that a chunk of candidates makes: about what a core's cache holds in float32."""


@dataclass(frozen=True)
class Front:
    """Units with the same readers, and what has to run when one of them goes off."""

    units: tuple[int, ...]
    first: Mapping[Node, Tensor]  # readers that see the change only through the unit: (units, columns of each)
    tail: tuple[Node, ...]  # the operators that depend on those, in order, the first readers left out
    largest: int  # elements of the largest value there, for one example


def exact(loss: GatedLoss, gates: Tensor, units: Tensor) -> Tensor:
    """E(g - e_u) - E(g) for each unit u, from cached values: agrees with `reference`.

    Shape:
        gates (K,), units (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; negative where the network is better without the unit.
    Raises:
        NonFiniteError: a loss is NaN or infinite with a unit off.
    Source:
        The paper (arXiv 1701.04465), section 2.1, by the update y - W_u x_u of a reader's output.
    """
    fronts = find_fronts(loss.network, units.tolist())
    at = {unit: position for position, unit in enumerate(units.tolist())}
    scores = torch.zeros(len(units), dtype=torch.float64, device=gates.device)
    with torch.no_grad(), exactly():
        for tile in loss.tiles():
            base = base_forward(loss.network, tile, gates, fronts)
            on = finite(loss.losses(loss.network.graph.result(base), tile), tile, gates, loss.units)
            for front in fronts:
                step = max(1, WORKING_SET // (front.largest * len(tile)))
                for start in range(0, len(front.units), step):
                    chosen = front.units[start : start + step]
                    off = candidate_losses(loss, tile, base, gates, front, slice(start, start + step))
                    finite(off.amax(0), tile, gates, loss.units)
                    scores[[at[unit] for unit in chosen]] += (off - on).sum(1)
    return scores


def find_fronts(network: GatedNetwork, units: Sequence[int]) -> list[Front]:
    """Group units by the readers that they reach, and by how many columns they have there."""
    columns: dict[int, dict[Node, list[int]]] = {unit: {} for unit in units}
    for node, reading in network.readings.items():
        for column, owner in enumerate(reading.owner.tolist()):
            if owner in columns:
                columns[owner].setdefault(node, []).append(column)
    groups: dict[tuple[tuple[Node, int], ...], list[int]] = {}
    for unit in units:
        groups.setdefault(tuple((node, len(found)) for node, found in columns[unit].items()), []).append(unit)
    fronts = []
    for key, members in groups.items():
        readers = [node for node, _ in key]
        affected = network.graph.descendants(readers)
        first = [node for node in readers if node.args[0] not in affected]
        tail = tuple(node for node in network.graph.nodes if node in affected and node not in first)
        values = [node for node in (*first, *tail) if isinstance(node.meta.get("val"), Tensor)]
        largest = max(torch.Size(shape_for_one(node)).numel() for node in values)
        first_columns = {node: torch.tensor([columns[unit][node] for unit in members]) for node in first}
        fronts.append(Front(tuple(members), first_columns, tail, largest))
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


def candidate_losses(loss: GatedLoss, tile: Tile, base: Env, gates: Tensor, front: Front, part: slice) -> Tensor:
    """The losses of a tile's examples with each of these candidates off, (candidates, examples)."""
    network = loss.network
    units = torch.tensor(front.units[part], device=gates.device)
    nodes = list(front.first)
    pieces = [_pieces(network, node, base, front.first[node][part].to(gates.device)) for node in nodes]
    positions = torch.arange(len(gates), device=gates.device)

    def run(unit: Tensor, *updates: Sequence[Tensor]) -> Any:
        env = dict(base)
        for node, (change, weight) in zip(nodes, updates, strict=True):
            env[node] = base[node] + _contract(node, change, weight)
        without = torch.where(positions == unit, 0.0, gates)
        network.graph.run(env, nodes=front.tail, replace=network.replace(without))
        answer = network.graph.result(env)
        return loss.losses(answer, tile) if loss.maps else answer

    results = torch.func.vmap(run)(units, *pieces)
    if loss.maps:
        return results
    rows = [torch.utils._pytree.tree_map(lambda value, row=row: value[row], results) for row in range(len(units))]
    return torch.stack([loss.losses(row, tile) for row in rows])


def _pieces(network: GatedNetwork, node: Node, base: Env, columns: Tensor) -> tuple[Tensor, Tensor]:
    """For each candidate, how its part of the reader's input changes (B, examples, ..., columns, ...), and its weight
    (B, out, columns, ...)."""
    reading = network.readings[node]
    value: Tensor = base[node.args[0]]  # pyright: ignore[reportArgumentType]
    weight: Tensor = base[node.args[1]]  # pyright: ignore[reportArgumentType]
    flat = columns.flatten()

    def gather(tensor: Tensor, dim: int) -> Tensor:
        chosen = tensor.index_select(dim, flat)
        return chosen.unflatten(dim, columns.shape).movedim(dim % tensor.dim(), 0)

    change = -gather(value, reading.dim)
    if network.off == "mean":
        mean = reading.shape(value, network.means[node])
        change = change + gather(mean, reading.dim)
    return change, gather(weight, 1)


def _contract(node: Node, change: Tensor, weight: Tensor) -> Tensor:
    """The reader's own operator on one candidate's columns, without the bias."""
    target: Any = node.target
    return target(change, weight, None, *node.args[3:], **{k: v for k, v in node.kwargs.items() if k != "bias"})
