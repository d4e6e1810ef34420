"""Fault tolerance: what a network suffers when units fail, at random, the worst first, or the best first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur import stopping
from secateur.criteria import Criterion, Oracle
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.metrics import right_answers


@dataclass(frozen=True, slots=True, eq=False)
class RemovalCurves:
    """Errors and accuracies while units go, one row an order.

    `order` are positions; `error` and `accuracy` are of all examples, the others of those of each class. Without
    classes there are no columns for them, and the accuracy is NaN.
    """

    order: Int64[Tensor, "orders units"]
    error: Float64[Tensor, "orders points"]
    accuracy: Float64[Tensor, "orders points"]
    class_error: Float64[Tensor, "orders points classes"]
    class_accuracy: Float64[Tensor, "orders points classes"]


@dataclass(frozen=True, slots=True, eq=False)
class FaultTolerance:
    """Removal curves after `removed` removals each: in random orders, and the worst and the best unit first."""

    removed: Int64[Tensor, " points"]
    random: RemovalCurves
    worst_first: RemovalCurves
    best_first: RemovalCurves

    def band(self, quantity: str = "error", share: float = 0.9) -> Float64[Tensor, "three *points"]:
        """Low end, median and high end of the middle `share` of the random orders, at each point."""
        ends = torch.tensor([(1 - share) / 2, 0.5, (1 + share) / 2], dtype=torch.float64)
        return getattr(self.random, quantity).quantile(ends, dim=0)


@dataclass(frozen=True)
class _WorstFirst:
    """The oracle, turned round: the unit whose removal costs most is lowest."""

    estimates_error = True

    def __call__(self, loss: GatedLoss, alive: Tensor) -> Tensor:
        return -Oracle()(loss, alive)


def fault_tolerance(
    loss: GatedLoss, orders: int = 50, *, seed: int = 0, every: int = 1, metric: str = "accuracy"
) -> FaultTolerance:
    """Error and accuracy while units are switched off one by one: in random orders, worst first and best first.

        E(g_m),  g_0 = 1,  g_m = g_(m-1) - e_u(m);   u(m) at random, or argmax, argmin over u of E(g_(m-1) - e_u)

    Worst and best are ranked again after each removal, by the oracle; sites may be emptied. All ends are the same: the
    network without units.

    Shape:
        `orders` random orders and one of each other; points after 0, `every`, 2 `every` ... and all K removals.
    Units:
        error: summed over examples (class_error: over those of a class); accuracy: share of right answers, by `metric`.
    Raises:
        OptionError: fewer than one order, or a step below 1.
    Source:
        PAPER.md, claim 10; the orders are torch's randperm of `seed`.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     layer.weight.data = torch.tensor([[1.0], [3.0]]).reshape(layer.weight.shape)
    >>> loss = GatedLoss(model, (torch.ones(2, 1), torch.full((2, 1), 10.0)), loss="sse")
    >>> found = fault_tolerance(loss, orders=3)
    >>> found.worst_first.error, found.best_first.error
    (tensor([[  0.,  81., 100.]], dtype=torch.float64), tensor([[  0.,   1., 100.]], dtype=torch.float64))
    """
    if orders < 1 or every < 1:
        raise OptionError(f"fault_tolerance got orders={orders}, every={every}; expected 1 or more of both.")
    count, generator = len(loss.units), torch.Generator().manual_seed(seed)
    removed = torch.tensor([*range(0, count, every), count])
    random = torch.stack([torch.randperm(count, generator=generator) for _ in range(orders)])
    found = [_curves(loss, order, removed, metric) for order in (random, _greedy(loss, _WorstFirst()), _greedy(loss))]
    return FaultTolerance(removed, *found)


def _greedy(loss: GatedLoss, criterion: Criterion | None = None) -> Tensor:
    trace = remove_units(loss, criterion or Oracle(), stopping.never(), min_units_per_site=0)
    return torch.tensor([loss.units.positions(trace.removed)])


def _curves(loss: GatedLoss, orders: Tensor, removed: Tensor, metric: str) -> RemovalCurves:
    classes = _classes(loss)
    members = torch.empty(0, len(loss.examples)) if classes is None else classes == torch.arange(loss.classes)[:, None]
    members = members.to(torch.float64)

    def measure(gates: Tensor) -> tuple[Tensor, Tensor]:
        errors = loss.per_example(gates).cpu()
        if classes is None:
            return errors, torch.full_like(errors, torch.nan)
        return errors, right_answers(metric, loss.outputs(gates).cpu(), loss.targets.cpu()).to(torch.float64)

    def along(order: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        for many in removed.tolist():
            gates = loss.gates()
            gates[order[:many].to(gates.device)] = 0.0
            yield measure(gates)

    measured = [list(along(order)) for order in orders]
    error, right = (torch.stack([torch.stack([point[i] for point in row]) for row in measured]) for i in range(2))
    class_right = (right @ members.T) / members.sum(1)
    return RemovalCurves(orders, error.sum(-1), right.mean(-1), error @ members.T, class_right)


def _classes(loss: GatedLoss) -> Tensor | None:
    """The class of each example; None where the targets tell none."""
    target = loss.examples.target
    if target is None or loss.classes < 2:
        return None
    target = target.cpu()
    if not target.is_floating_point():
        return target if target.dim() == 1 else None
    one_hot = target.dim() == 2 and bool(((target == 0) | (target == 1)).all()) and bool((target.sum(1) == 1).all())
    return target.argmax(1) if one_hot else None
