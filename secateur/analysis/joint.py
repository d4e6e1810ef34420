"""The error under many joint removals: pairs, groups, all subsets.

Units with the same readers make a front. Each set of removals is met in the middle: what it takes from the fronts above
its deepest one (the outer removals) is run once for all sets that share it, and what it takes from the deepest front is
subtracted from the readers' output, for all those sets by one matrix product, before the rest runs on the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor
from torch.fx import Node

from secateur.gated import GatedLoss, GatedNetwork, Tile, exactly, finite
from secateur.oracle.tail import Front, find_fronts
from secateur.units.graph import Env, argument, run


@dataclass(frozen=True)
class Group:
    """Sets of removals with the same deepest front and the same outer removals."""

    front: Front
    gates: Tensor  # (K,): 0 for the outer removals
    nodes: tuple[Node, ...]  # what the outer removals change, before the front's tail
    rows: Tensor  # positions of the sets


def joint_errors(
    loss: GatedLoss, off: Bool[Tensor, "sets chosen"], units: Sequence[int] | None = None
) -> Float64[Tensor, " sets"]:
    """The error with each of these sets of units off: agrees with `loss(gates)`, one set at a time.

        E_s = E(1 - sum of e_u over u in s)

    Shape:
        off (S, n), True for off, a column for each of `units` (positions; all by default) -> (S,) float64.
    Units:
        the error, summed over examples.
    Raises:
        NonFiniteError: a loss is NaN or infinite with units off.
    Source:
        docs/design.md, "One idea"; by the update of a reader's output of oracle/tail.py, for sets.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> joint_errors(loss, torch.tensor([[False, False], [True, False], [True, True]]))
    tensor([2.0000, 0.5000, 0.0000], dtype=torch.float64)
    """
    chosen = torch.arange(len(loss.units)) if units is None else torch.tensor(list(units), dtype=torch.int64)
    off, network = off.cpu(), loss.network
    order = {node: at for at, node in enumerate(network.graph.nodes)}
    fronts = sorted(find_fronts(network, chosen.tolist()), key=lambda front: min(order[node] for node in front.first))
    groups = list(_groups(loss, fronts, chosen, off))
    kept = {node for front in fronts for node in (*front.first, *front.tail.nodes)}
    kept |= {source for node in kept for source in node.all_input_nodes}

    def errors(tile: Tile) -> Tensor:
        found = torch.zeros(len(off), dtype=torch.float64, device=loss.device)
        whole = network.after(loss.before(tile), loss.gates(), kept)
        for group in groups:
            base = network.graph.run(dict(whole), nodes=group.nodes, replace=network.replace(group.gates))
            _measure(found, loss, tile, base, group, off)
        return found

    with torch.no_grad(), exactly():
        return loss.total(errors)


def _groups(loss: GatedLoss, fronts: Sequence[Front], chosen: Tensor, off: Tensor) -> Iterator[Group]:
    """Every set belongs to its deepest front; the untouched network to the deepest of all."""
    touches = torch.stack([off[:, front.candidates].any(1) for front in fronts], 1)
    deepest = (touches.to(torch.int64) * torch.arange(1, len(fronts) + 1)).amax(1) - 1
    deepest[deepest < 0] = len(fronts) - 1
    readers = [_readers(loss.network, front) for front in fronts]
    for at, front in enumerate(fronts):
        rows = (deepest == at).nonzero().flatten()
        outer = off[rows].index_fill(1, front.candidates, False)
        for same in _alike(outer):
            pattern = outer[same[0]]
            changed = [readers[i] for i in range(at) if bool(pattern[fronts[i].candidates].any())]
            affected = loss.network.graph.descendants(set().union(*changed)) if changed else frozenset()
            before = affected - set(front.tail.nodes)
            nodes = tuple(node for node in loss.network.graph.nodes if node in before)
            gates = loss.gates().index_fill(0, chosen[pattern].to(loss.device), 0.0)
            yield Group(front, gates, nodes, rows[same])


def _readers(network: GatedNetwork, front: Front) -> set[Node]:
    own = set(front.units.tolist())
    return {node for node, reading in network.readings.items() if own & set(reading.owner.tolist())}


def _alike(rows: Tensor) -> list[Tensor]:
    """The positions of equal rows, together."""
    if not len(rows):
        return []
    packed = np.packbits(rows.numpy(), axis=1)
    _, kind = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)
    order = np.argsort(kind, kind="stable")
    return [torch.from_numpy(part) for part in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1)]


def _measure(found: Tensor, loss: GatedLoss, tile: Tile, base: Env, group: Group, off: Tensor) -> None:
    """Put the errors of the group's sets on this tile into their places."""
    front, network = group.front, loss.network
    parts = {node: _contributions(network, node, base, front.first[node].to(loss.device)) for node in front.first}
    for rows in group.rows.split(loss.memory.at_once(front.tail.largest * len(tile))):
        gone = off[rows][:, front.candidates].to(loss.device)
        gates = group.gates.repeat(len(rows), 1)
        gates[:, front.units.to(loss.device)] = 1.0 - gone.to(gates.dtype)
        values = [
            base[node] - (gone.to(part.dtype) @ part.flatten(1)).view(len(rows), *part.shape[1:])
            for node, part in parts.items()
        ]
        losses = _losses(loss, tile, base, front, gates, values)
        finite(losses.sum(0), tile, group.gates, loss.units)
        found[rows.to(loss.device)] = losses.sum(1)


def _contributions(network: GatedNetwork, node: Node, base: Env, columns: Tensor) -> Tensor:
    """What each unit of a front varies in its reader's output: (units, examples, ...)."""
    reading = network.readings[node]
    value, weight = base[argument(node, 0)], base[argument(node, 1)]
    nothing = torch.zeros(len(network.units), dtype=torch.float64, device=value.device)
    varies = value - network.read(reading, value, nothing)

    def columns_of(tensor: Tensor, dim: int) -> Tensor:
        dim %= tensor.dim()
        return tensor.index_select(dim, columns.flatten()).unflatten(dim, columns.shape).movedim(dim, 0)

    def contraction(value: Tensor, weight: Tensor) -> Tensor:
        return run(node, value, weight, None, *node.args[3:], **node.kwargs)

    return torch.func.vmap(contraction)(columns_of(varies, reading.dim), columns_of(weight, 1))


def _losses(loss: GatedLoss, tile: Tile, base: Env, front: Front, gates: Tensor, values: Sequence[Tensor]) -> Tensor:
    """The losses of the examples for each set: (sets, examples), given what the front's first readers make of it."""
    graph, nodes = loss.network.graph, list(front.first)
    outputs = [item for item in graph.output if isinstance(item, Node) and isinstance(item.meta.get("val"), Tensor)]

    def answers(gates: Tensor, *values: Tensor) -> Any:
        env = {**base, **dict(zip(nodes, values, strict=True))}
        graph.run(env, nodes=front.tail.nodes, replace=loss.network.replace(gates))
        return loss.losses(graph.result(env), tile) if loss.maps else [env[item] for item in outputs]

    results = torch.func.vmap(answers)(gates, *values)
    if loss.maps:
        return results
    rows = (dict(zip(outputs, row, strict=True)) for row in zip(*results, strict=True))
    return torch.stack([loss.losses(graph.result({**base, **row}), tile) for row in rows])
