"""Pruning runs as lists of numbers, and what is read off them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from secateur import criteria, metrics, stopping
from secateur.analysis import error_scale
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.trace import Measured, Trace

RISE = 0.05
"""The part of S by which E may rise, where a run is followed up to there."""


def prune(
    ranking: GatedLoss, criterion: Any = "oracle", other: GatedLoss | None = None, *, every: int | None = 1
) -> Trace:
    """Remove all units, or those that can be, and record E and accuracy on the ranking examples and on others."""

    def measure(gates: Tensor) -> Measured:
        error, outputs = ranking.measure(gates)
        found = {"accuracy": _accuracy(ranking, outputs)}
        if other is not None:
            other_error, answers = other.measure(gates)
            found |= {"other_error": float(other_error), "other_accuracy": _accuracy(other, answers)}
        return Measured(error=float(error), metrics=found)

    return remove_units(
        ranking, criteria.resolve(criterion), stopping.never(), every, min_units_per_site=0, measure=measure
    )


def _accuracy(loss: GatedLoss, outputs: Any) -> float:
    return metrics.accuracy(outputs, loss.targets) if loss.classes > 1 else float("nan")


def column(trace: Trace, name: str) -> list[float]:
    """One quantity after 0, 1, 2 ... removals."""
    return [step.error if name == "error" else step.metrics[name] for step in trace.steps]


def reach(loss: GatedLoss, criterion: Any, share: float = RISE) -> int:
    """How many units a criterion removes before E has risen by this part of S, for the first time."""
    limit = stopping.error_rise(absolute=share * float(error_scale(loss)))
    trace = remove_units(loss, criteria.resolve(criterion), limit, min_units_per_site=0)
    return trace.result(limit)[0].step


def last_within(values: Sequence[float], limit: float) -> int:
    """The removals at the last point that is no higher than the limit.

    >>> last_within([1.0, 3.0, 2.0, 5.0], 2.0)
    2
    """
    return max((at for at, value in enumerate(values) if value <= limit), default=0)


def before_fall(accuracy: Sequence[float], points: float) -> int:
    """The removals before accuracy has fallen by more than so much, for the first time.

    >>> before_fall([0.99, 0.985, 0.97, 0.99], 0.01)
    1
    """
    fallen = [value < accuracy[0] - points - 1e-9 for value in accuracy]
    return (fallen.index(True) if True in fallen else len(accuracy)) - 1


def order(loss: GatedLoss, trace: Trace) -> list[int]:
    """The positions of the units, in the order of their removal."""
    return loss.units.positions(trace.removed)


def exponent(widths: Sequence[int], values: Sequence[float]) -> float:
    """The b of value ~ width^b, by least squares in logarithms; NaN where a value is missing or 0.

    >>> round(exponent([25, 50, 100], [3.0, 6.0, 12.0]), 6)
    1.0
    """
    if not all(value > 0 for value in values):
        return float("nan")
    x, y = (torch.tensor(list(numbers), dtype=torch.float64).log() for numbers in (widths, values))
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
