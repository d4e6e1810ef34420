"""First order, example by example: what every gate's slope is in every example, by one pass forward and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.fx import Node

from secateur.errors import OptionError
from secateur.gated import GatedLoss, Tile, answer, exactly, finite
from secateur.units import Reading
from secateur.units.graph import argument, evaluate, example_dim, source_line


@dataclass(frozen=True)
class Slopes:
    """What one backward pass tells of every example n and unit u; 0 for a unit that is off.

    `first` is -d loss_n / d g_u, the first-order estimate of the change, `reach` the largest |value - mean| that the
    unit offers to a reader, `on` the loss, `output` the network's answer, flattened.
    """

    first: Float64[Tensor, "examples units"]
    reach: Float64[Tensor, "examples units"]
    on: Float64[Tensor, " examples"]
    output: Float64[Tensor, "examples outputs"]


def slopes(loss: GatedLoss, gates: Float64[Tensor, " units"]) -> Slopes:
    """The first-order estimate for every example and unit, by one pass forward and back over the examples.

        first_nu = - sum over readers, sum over the unit's values x there: (x - m) d loss_n / dx

    A gate multiplies each value that is read, so the chain rule adds the readers up. m is the unit's mean for
    off="mean", else 0.

    Shape:
        gates (K,) -> first and reach (N, K), on (N,), output (N, outputs).
    Units:
        change of one example's loss; `reach` and `output` those of the network.
    Raises:
        NonFiniteError: a loss is NaN or infinite.
    Source:
        Mozer and Smolensky 1988, example by example.
    """
    count = len(gates)

    def of_tile(tile: Tile) -> Tensor:
        run = GatePass(loss, gates, tile)
        output = run.output.detach().double().flatten(1)
        return torch.cat((run.slopes(run.on.sum()), run.reach(), run.on.detach()[:, None], output), 1)

    found = loss.collect(of_tile)
    return Slopes(found[:, :count], found[:, count : 2 * count], found[:, 2 * count], found[:, 2 * count + 1 :])


class GatePass:
    """One forward pass of a tile, from which the slopes of anything in every example's gates can be had."""

    def __init__(self, loss: GatedLoss, gates: Tensor, tile: Tile) -> None:
        self.network, self.gates, self.tile = loss.network, gates.detach(), tile
        self.leaves: dict[Node, Tensor] = {}
        self.offered: dict[Node, Tensor] = {}
        graph, before = self.network.graph, loss.before(tile)
        with exactly(), torch.enable_grad():
            result = graph.result(graph.run(dict(before), self.network.gated, self._gated, keep=()))
            self.on = finite(loss.losses(result, tile), tile, gates, loss.units)
        self.output = answer(result)

    def slopes(self, of: Tensor) -> Float64[Tensor, "examples units"]:
        """- d of / d g_nu, as if each example had gates of its own."""
        with exactly():
            found = torch.autograd.grad(of, list(self.leaves.values()), retain_graph=True, allow_unused=True)
        total = self.gates.new_zeros(len(self.tile), len(self.gates))
        for (node, value), slope in zip(self.offered.items(), found, strict=True):
            if slope is not None:
                reading = self.network.readings[node]
                owner, mine = _owners(reading, self.gates)
                product = (_columns(node, reading, value) * _columns(node, reading, slope)).sum(2)
                total.index_add_(1, owner, -product[:, mine])
        return total * (self.gates != 0)

    def reach(self) -> Float64[Tensor, "examples units"]:
        """The largest |value - mean| that each unit offers to a reader."""
        most = self.gates.new_zeros(len(self.tile), len(self.gates))
        for node, value in self.offered.items():
            reading = self.network.readings[node]
            owner, mine = _owners(reading, self.gates)
            largest = _columns(node, reading, value).abs().amax(2)[:, mine]
            most.scatter_reduce_(1, owner.expand(len(self.tile), -1), largest, "amax")
        return most * (self.gates != 0)

    def _gated(self, node: Node, env: Any) -> Any:
        """For Graph.run: the reader's operator on its gated input, to which a leaf of its own is added, 0: the slope in
        that leaf is the slope in what this reader reads."""
        reading = self.network.readings.get(node)
        if reading is None:
            return None
        value = env[source := argument(node, 0)]
        mean = reading.shape(value, self.network.means[node]) if self.network.off == "mean" else 0.0
        self.offered[node] = (value - mean).detach()
        self.leaves[node] = torch.zeros_like(value, requires_grad=True)
        return evaluate(node, {**env, source: self.network.read(reading, value, self.gates) + self.leaves[node]})


def _owners(reading: Reading, gates: Tensor) -> tuple[Tensor, Tensor]:
    """The units that own indices of what is read, and which indices those are."""
    owner = reading.owner.to(gates.device)
    mine = owner >= 0
    return owner[mine], mine


def _columns(node: Node, reading: Reading, value: Tensor) -> Tensor:
    """(examples, indices of the dimension that is read, positions), in float64.

    Raises: OptionError where the reader's examples have no dimension of their own.
    """
    at = example_dim(argument(node, 0))
    if at is None:
        raise OptionError(
            f"the engines lazy and racing look at every example alone, and what {node.name} ({source_line(node)}) "
            'reads has no dimension of examples: they lie together with positions. Use engine="exact"'
        )
    rows = value.movedim((at, reading.dim), (0, 1)).double()
    return rows[..., None].flatten(2)
