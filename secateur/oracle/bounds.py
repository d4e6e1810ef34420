"""What is certain of a score before it is measured: bounds for the units that the last linear layer alone reads.

There the network's answer is affine in the gates, z_n(g - e_u) = z_n - d_nu with d_nu = sum_j (x_nj - m_j) W_j over the
unit's columns j, and the loss is convex in the answer. docs/oracle.md proves what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.fx import Node

from secateur.gated import GatedLoss, Tile, answer, exactly, finite
from secateur.units.graph import argument, operator_name

QUADRATIC = ("sse", "mse", "self")
CURVED = ("cross_entropy", "bce", *QUADRATIC)
"""Losses that are convex in the answer, and of bounded curvature."""


@dataclass(frozen=True)
class Bounds:
    """lower <= E(g - e_u) - E(g) <= upper for every unit u; -inf and inf where nothing is certain.

    `spread` tells how far the removal of some units u may move the score of v: |score_v(g) - score_v(g + e_u)| <=
    spread_vu; inf where nothing is certain. `error` is E(g).
    """

    lower: Float64[Tensor, " units"]
    upper: Float64[Tensor, " units"]
    spread: Float64[Tensor, "units removed"]
    error: float


def last_reader(loss: GatedLoss) -> Node | None:
    """The linear operator whose result is the answer that the loss sees, where such bounds hold; else None."""
    graph = loss.network.graph
    if loss.loss not in CURVED:
        return None
    values = {item: item.meta["val"] for item in graph.output if isinstance(item, Node)}
    seen = answer(graph.result(values))
    node = next((item for item, value in values.items() if value is seen), None)
    if node is None or node not in loss.network.readings or operator_name(node) != "aten.linear.default":
        return None
    plain = argument(node, 1) in graph.names  # a weight that is computed (or tied and changed) is not known here
    return node if plain and seen.dim() == 2 else None


def bounded_units(loss: GatedLoss) -> Tensor:
    """Which units have bounds: those that the last linear layer reads, and no other operator.

    Shape: (K,) bool.
    """
    inside = torch.zeros(len(loss.units), dtype=torch.bool)
    last = last_reader(loss)
    if last is None:
        return inside
    inside[_owned(loss.network.readings[last].owner)] = True
    for node, reading in loss.network.readings.items():
        if node is not last:
            inside[_owned(reading.owner)] = False
    return inside


def bounds(loss: GatedLoss, gates: Float64[Tensor, " units"], removed: Tensor | None = None) -> Bounds:
    """Bounds of every unit's score, and of what each removal may have changed of it, by one forward pass.

        first_u <= score_u <= first_u + c/2 sum_n rho_nu^2,    |score_v(g - e_u) - score_v(g)| <= c sum_n rho_nu rho_nv
        rho_nu = sum_j |x_nj - m_j| r_j

    cross_entropy: c = 1/4, r_j = max W_j - min W_j; bce: c = 1/4, r_j = |W_j|; sse, self: c = 1, r_j = |W_j|; mse: c =
    2/outputs. For the squares of a unit of one column the upper bound is the score.

    Shape:
        gates (K,), removed (m,) positions (none by default) -> lower, upper (K,), spread (K, m) float64.
    Units:
        change of the error, summed over examples.
    Raises:
        NonFiniteError: the loss is NaN or infinite.
    Source:
        docs/oracle.md: Bounds.
    """
    removed = (torch.arange(0) if removed is None else removed).to(gates.device)
    inside = bounded_units(loss).to(gates.device)
    last = last_reader(loss) if bool(inside.any()) else None
    unknown = torch.full_like(gates, torch.inf)
    if last is None:
        return Bounds(-unknown, unknown, unknown[:, None].expand(-1, len(removed)).clone(), float(loss(gates)))
    network, reading, source = loss.network, loss.network.readings[last], argument(last, 0)
    owner = reading.owner.to(gates.device)
    mine = owner >= 0
    owner, weight, size = owner[mine], _columns(loss, last), sizes(loss, last)

    def sums(tile: Tile) -> Tensor:
        env = network.after(loss.before(tile), gates, keep={source})
        output = answer(network.graph.result(env)).double()
        on = finite(loss.losses(output, tile), tile, gates, loss.units)
        value = env[source] - (network.means[last] if network.off == "mean" else 0.0)
        value = value.double()[:, mine]
        first = gates.new_zeros(len(gates)).index_add(
            0, owner, -(value * (_slope(str(loss.loss), output, tile.target) @ weight)).sum(0)
        )
        rho = value.new_zeros(len(tile), len(gates)).index_add(1, owner, value.abs() * size)
        error = on.sum().expand(len(gates))
        return torch.column_stack((first, rho.square().sum(0), error, rho.T @ rho[:, removed]))

    with exactly(), torch.no_grad():
        first, squares, error, *spread = loss.total(sums).unbind(1)
    curved = curvature(loss)
    lower, upper = first, first + curved / 2 * squares
    if loss.loss in QUADRATIC:
        lonely = torch.bincount(owner, minlength=len(gates)) == 1
        lower = torch.where(lonely, upper, lower)
    known = inside & (gates != 0)
    widths = curved * torch.stack(spread, 1) if spread else gates.new_zeros(len(gates), 0)
    return Bounds(
        lower.where(known, -unknown),
        upper.where(known, unknown),
        widths.where(inside[:, None] & inside[removed], torch.inf),
        float(error[0]),
    )


def curvature(loss: GatedLoss) -> float:
    """c: the loss of an example curves along a direction of size 1 at most so much."""
    if loss.loss in QUADRATIC:
        return 2 / loss.classes if loss.loss == "mse" else 1.0
    target = loss._target
    if loss.loss == "cross_entropy" and target is not None and target.is_floating_point():
        return float(target.sum(1).max()) / 4  # targets need to sum to 1 only roughly
    return 0.25


def _slope(name: str, output: Tensor, target: Tensor) -> Tensor:
    """d loss_n / d answer."""
    if name == "cross_entropy":
        if not target.is_floating_point():
            target = torch.nn.functional.one_hot(target, output.shape[1]).double()
        return target.sum(1, keepdim=True) * output.softmax(1) - target
    if name == "bce":
        return output.sigmoid() - target
    return (output - target) * (2 / output.shape[1] if name == "mse" else 1.0)


def sizes(loss: GatedLoss, last: Node) -> Tensor:
    """r: the size of each of the last reader's columns that a unit owns, in the seminorm in which the loss curves:
    what is the same for all classes moves no cross-entropy."""
    weight = _columns(loss, last)
    return weight.amax(0) - weight.amin(0) if loss.loss == "cross_entropy" else weight.square().sum(0).sqrt()


def _columns(loss: GatedLoss, last: Node) -> Tensor:
    """The columns of the last reader's weight that units own, in float64."""
    graph = loss.network.graph
    return graph.weight(graph.names[argument(last, 1)]).double()[:, loss.network.readings[last].owner >= 0]


def _owned(owner: Tensor) -> Tensor:
    return owner[owner >= 0].unique()
