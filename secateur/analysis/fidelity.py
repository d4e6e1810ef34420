"""Fidelity: how well a criterion estimates what removals cost, and how well it chooses, beside the oracle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from secateur import criteria, stopping
from secateur.analysis.scale import error_scale
from secateur.analysis.state_fidelity import StateFidelity
from secateur.criteria import Criterion, Oracle
from secateur.errors import CriterionError, OptionError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.ranking import gates_at, lowest, tie_tolerance

LOWEST = 0.1
"""The share of the alive units that "the lowest tenth" is, rounded up."""
QUANTITIES = ("slope", "intercept", "sign_agreement", "kendall", "overlap", "regret")


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How a criterion compares with the oracle, state by state; `units` is how many units there are, `scale` is S."""

    criterion: str
    units: int
    scale: float
    states: tuple[StateFidelity, ...]

    def summary(self) -> dict[str, float]:
        """The mean of every quantity over the states in which it is defined; NaN where it is in none."""
        found = {}
        for name in QUANTITIES:
            values = [value for state in self.states if not math.isnan(value := getattr(state, name))]
            found[name] = sum(values) / len(values) if values else math.nan
        return found


def fidelity(
    loss: GatedLoss,
    criterion: str | Criterion | Tensor,
    states: Sequence[Tensor] | None = None,
    *,
    scale: float | None = None,
    seed: int = 0,
) -> Fidelity:
    """How well a criterion estimates the change of error of each removal, and how good its choice is, by the oracle.

        slope, intercept   of the least-squares line  true = intercept + slope * estimated;  1 and 0 are perfect
        sign agreement     the share of units whose estimate has the sign of the truth, where that is not 0
        kendall            tau-b of estimated and true scores
        overlap            of the lowest tenth by the criterion, the share that is in the lowest tenth by the oracle
        regret             [E(g - e_chosen) - min_u E(g - e_u)] / S,   S = E(best constant output) - E(1)

    The criterion is a name, a function, or the importances (K,) that another library computed: those are the same in
    every state, and the lowest goes first. Slope, intercept and sign tell something only of scores that estimate a
    change of error. Pass the same `states` to compare criteria; `scale` replaces S.

    Shape:
        states: gates (K,), floating-point, or positions alive (n,), int64; by default those of `oracle_states`.
    Units:
        true and estimated scores: change of the error, summed over examples; the other quantities have none, but the
        intercept is an error, and the slope one in the units of importances from elsewhere.
    Raises:
        OptionError: no states, or one with fewer than two units on, or as `error_scale`. CriterionError: importances or
        scores of another shape. UnknownNameError: no criterion of that name.
    Source:
        PAPER.md, "Definitions for the claims".

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     layer.weight.data = torch.tensor([[1.0], [3.0]]).reshape(layer.weight.shape)
    >>> loss = GatedLoss(model, (torch.tensor([[-1.0], [1.0]]), torch.tensor([[-10.0], [10.0]])), loss="sse")
    >>> found = fidelity(loss, torch.tensor([2.0, 1.0]), [loss.gates()])  # true: from 0 to 1 and to 81
    >>> found.states[0].true, found.states[0].kendall, found.states[0].regret
    (tensor([ 1., 81.], dtype=torch.float64), -1.0, 0.8)
    """
    scale = float(error_scale(loss)) if scale is None else float(scale)
    name = criterion if isinstance(criterion, str) else getattr(criterion, "__name__", type(criterion).__name__)
    if isinstance(criterion, Tensor):
        name, score = "importances", _importances(loss, criterion)
    else:
        score = criteria.resolve(criterion, seed=seed)
    chosen = oracle_states(loss) if states is None else [_alive(loss, state) for state in states]
    if not chosen or min(map(len, chosen)) < 2:
        raise OptionError("fidelity needs one state or more, each with two units on or more; got fewer.")
    return Fidelity(name, len(loss.units), scale, tuple(_compare(loss, score, alive, scale) for alive in chosen))


def oracle_states(loss: GatedLoss, count: int = 10) -> list[Int64[Tensor, " alive"]]:
    """The positions alive with all units on, and at evenly spaced removals along a run of the oracle.

        after round(i R / count) removals, i = 0 ... count - 1, of the R that leave a unit in each site and two in all

    Shape: `count` tensors of positions, or fewer where there are fewer removals.
    Raises: OptionError for a count below 1.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).eval()
    >>> loss = GatedLoss(model, (torch.randn(8, 1), torch.randn(8, 1)), loss="sse")
    >>> [len(alive) for alive in oracle_states(loss, 2)]
    [6, 4]
    """
    if count < 1:
        raise OptionError(f"oracle_states got count={count}; expected 1 or more.")
    trace = remove_units(loss, Oracle(), stopping.units(max(len(loss.units) - 2, 0)))
    most = len(trace.removed)
    steps = sorted({round(i * most / count) for i in range(count)})
    return [gates_at(loss.units, trace, step).nonzero().flatten() for step in steps]


def _compare(loss: GatedLoss, criterion: Criterion, alive: Tensor, scale: float) -> StateFidelity:
    true = Oracle()(loss, alive.to(loss.device)).cpu()
    estimated = criterion(loss, alive.to(loss.device)).detach().to("cpu", torch.float64)
    if estimated.shape != true.shape:
        raise CriterionError(f"the criterion gave scores {tuple(estimated.shape)}; expected one a unit, ({len(true)},)")
    known = ~estimated.isnan()
    x, y = estimated[known], true[known]
    error = float(loss(loss.gates(alive)).detach())
    first = lowest(estimated, error, tie_tolerance(loss, criterion))
    slope, intercept = _line(x, y)
    told = y.abs() > loss.tolerance * (abs(error) + (error + y).abs())
    signs = (x.sign() == y.sign())[told].double()
    return StateFidelity(
        alive.cpu(),
        estimated,
        true,
        slope,
        intercept,
        float(signs.mean()) if len(signs) else math.nan,
        _kendall(x, y),
        len(_lowest_tenth(x) & _lowest_tenth(y)) / max(len(_lowest_tenth(x)), 1),
        float(true[first] - true.min()) / scale,
    )


def _kendall(x: Tensor, y: Tensor) -> float:
    from scipy.stats import kendalltau

    found: Any = kendalltau(x.numpy(), y.numpy(), variant="b")
    return float(found.statistic) if len(x) > 1 else math.nan


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Slope and intercept of the least-squares line of y on x; NaN where x does not vary."""
    if len(x) < 2 or bool((x == x[0]).all()):
        return math.nan, math.nan
    centred = (x - x.mean()) / (x - x.mean()).abs().max()  # squares of tiny numbers would underflow
    slope = float((centred * (y - y.mean())).sum() / (centred * (x - x.mean())).sum())
    return slope, float(y.mean()) - slope * float(x.mean())


def _lowest_tenth(scores: Tensor) -> set[int]:
    return set(scores.argsort(stable=True)[: math.ceil(LOWEST * len(scores))].tolist())


def _importances(loss: GatedLoss, values: Tensor) -> Criterion:
    if values.shape != (len(loss.units),):
        raise CriterionError(f"importances are {tuple(values.shape)}; expected one for each unit, ({len(loss.units)},)")
    return lambda _, alive: values.to(alive.device)[alive]


def _alive(loss: GatedLoss, state: Tensor) -> Tensor:
    """The positions that are on, of gates or of positions."""
    if not state.is_floating_point():
        return state.to(torch.int64).sort().values
    if state.shape != (len(loss.units),) or not bool(((state == 0) | (state == 1)).all()):
        raise OptionError(
            f"a state of gates is {tuple(state.shape)}; expected a gate for each of the {len(loss.units)} units, 0 or "
            "1: or give the positions alive, as integers."
        )
    return state.nonzero().flatten()
