"""Rankings of the alive units: how one is made, found again in a resumed run, and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from secateur.errors import CriterionError, OptionError, RunError
from secateur.trace import Ranking, Trace
from secateur.types import Site, Unit


class Units(Protocol):
    """What the loop asks of a UnitSet."""

    @property
    def sites(self) -> Sequence[Site]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Unit]: ...


class Loss(Protocol):
    """What the loop asks of a GatedLoss: E(g), its units, and the relative tolerance of one evaluation."""

    @property
    def units(self) -> Units: ...
    @property
    def tolerance(self) -> float: ...
    def __call__(self, gates: Tensor, /) -> Tensor: ...


class Criterion(Protocol):
    """`(loss, alive) -> scores`: a function, or a callable object; all but the call is optional.

    - `estimates_error = True`: the scores are changes of E, so those that agree within `loss.tolerance` are tied.
      Without it only equal scores are tied.
    - `state() -> dict` and `restore(dict)`: what it keeps between rounds, as JSON-able values, saved with each ranking.
    - `partial = True`: it measures only what it must to find the lowest (NaN elsewhere), and is called with a third
      argument, the alive units that may be removed (give it a default).
    """

    def __call__(self, loss: Any, alive: Tensor, /) -> Tensor: ...


def scores_of(ranking: Ranking, units: Tensor) -> Tensor:
    """The scores of some of the units that were ranked.

    Shape: units (m,), positions -> (m,).

    >>> scores_of(Ranking(0, torch.tensor([1, 4, 5]), torch.tensor([0.5, 0.25, 2.0])), torch.tensor([1, 5]))
    tensor([0.5000, 2.0000])
    """
    return ranking.scores[torch.searchsorted(ranking.alive, units)]


def lowest(scores: Tensor, error: float = 0.0, tolerance: float = 0.0) -> int:
    """The first position whose score agrees with the minimum; NaN is never chosen.

        min {u: score_u <= m + tolerance * (|error| + |error + m|)},   m = min score

    Shape: scores (K,).
    Units: scores are changes of the error E(g) given, so that error + score is the error with the unit off; tolerance
    is relative to the errors that a score is the difference of, 0 for scores that are compared exactly.
    Raises: CriterionError if every score is NaN.
    Source: docs/design.md, decisions 2 and 3.

    >>> lowest(torch.tensor([3.0, float("nan"), 1.0 + 1e-14, 1.0]), error=2.0, tolerance=1e-12)
    2
    """
    measured = ~scores.isnan()
    if not bool(measured.any()):
        raise CriterionError(
            f"none of the {len(scores)} scores was measured (all are NaN), so none is lowest; expected a number or "
            "more. Use a criterion that measures every unit, or rank again more often (rerank_every)."
        )
    minimum = float(scores[measured].min())
    slack = tolerance * (abs(error) + abs(error + minimum)) if tolerance else 0.0
    return int((scores <= minimum + slack).nonzero()[0])


def removable(units: Units, gates: Tensor, min_units_per_site: int) -> Tensor:
    """The positions, ascending, of the units whose site holds more than `min_units_per_site` that are on.

        {u: g_u = 1 and the sum of g over site(u) > min_units_per_site}

    Shape: gates (K,) -> (m,), m <= K.
    """
    free = gates > 0
    for site in units.sites:
        positions = torch.tensor(site.units, dtype=torch.int64)
        if int(free[positions].sum()) <= min_units_per_site:
            free[positions] = False
    return free.nonzero().flatten()


def removable_count(units: Units, min_units_per_site: int = 1) -> int:
    """How many units may go before the run is exhausted.

        sum over sites of max(0, |site| - min_units_per_site)

    Units: units, of all that the network has.
    """
    return sum(max(0, len(site.units) - min_units_per_site) for site in units.sites)


def gates_at(units: Units, trace: Trace, step: int) -> Tensor:
    """The gates after the first `step` removals of the trace.

    Shape: (K,) float64, 1 for on and 0 for off.
    Raises: RunError if the trace removes a unit that the network does not have.
    """
    position = {unit.name: index for index, unit in enumerate(units)}
    gates = torch.ones(len(units), dtype=torch.float64)
    for name in trace.removed[:step]:
        if name not in position:
            raise RunError(f"the run removes unit {name!r}, which this network lacks: it is a run of another network.")
        gates[position[name]] = 0.0
    return gates


def begin(
    loss: Loss, criterion: Criterion, trace: Trace | None, rerank_every: int | None, min_units_per_site: int
) -> Trace:
    """The trace to record in, a new one where none is given.

    Raises: OptionError for a schedule that means nothing, or a trace of other numbers of units.
    """
    if rerank_every is not None and (type(rerank_every) is not int or rerank_every < 1):
        raise OptionError(f"rerank_every is {rerank_every!r}; expected 1 or more removals, or None to rank once.")
    if type(min_units_per_site) is not int or min_units_per_site < 0:
        raise OptionError(f"min_units_per_site is {min_units_per_site!r}; expected 0 or more units.")
    if getattr(criterion, "partial", False) and rerank_every != 1:
        raise OptionError(
            f"{_name(criterion)} measures only the lowest score of a round, which tells one removal, not the next: "
            f"pass rerank_every=1, not {rerank_every}, or an engine that measures every unit."
        )
    count, free = len(loss.units), removable_count(loss.units, min_units_per_site)
    trace = Trace(count, free) if trace is None else trace
    if (trace.unit_count, trace.removable) != (count, free):
        raise OptionError(
            f"the trace is of {trace.unit_count} units, {trace.removable} of them removable; expected {count} and "
            f"{free}: make it with removable=ranking.removable_count(loss.units, min_units_per_site)."
        )
    return trace


def tie_tolerance(loss: Loss, criterion: Criterion) -> float:
    """The relative tolerance of `lowest`: that of the loss for scores that are changes of error, else 0."""
    return loss.tolerance if getattr(criterion, "estimates_error", False) else 0.0


def rank(loss: Loss, criterion: Criterion, trace: Trace, step: int, min_units_per_site: int) -> Ranking:
    """Ask the criterion for its scores after `step` removals, check them, and keep the ranking in the trace.

        scores = criterion(loss, alive)

    Raises: CriterionError for scores of another shape or type, infinite ones, or only NaN for what may be removed.
    """
    gates = gates_at(loss.units, trace, step)
    alive, candidates = gates.nonzero().flatten(), removable(loss.units, gates, min_units_per_site)
    ask: Any = criterion
    scores = ask(loss, alive, candidates) if getattr(criterion, "partial", False) else ask(loss, alive)
    name = _name(criterion)
    if not isinstance(scores, Tensor) or scores.shape != alive.shape or scores.is_complex():
        got = f"{tuple(scores.shape)} {scores.dtype}" if isinstance(scores, Tensor) else type(scores).__name__
        raise CriterionError(f"{name} returned {got}; expected a float64 tensor ({len(alive)},): one score a unit.")
    scores = scores.detach().to("cpu", torch.float64)
    if bool(scores.isinf().any()):
        unit = [unit.name for unit in loss.units][int(alive[scores.isinf()][0])]
        raise CriterionError(f"{name} gave {unit} an infinite score at step {step}; expected a number, or NaN.")
    if bool(scores[torch.isin(alive, candidates)].isnan().all()):
        raise CriterionError(
            f"{name} measured none of the {len(candidates)} units that may be removed at step {step} (all NaN); "
            "expected a score for one or more of them. Use a criterion that applies to this network."
        )
    state = ask.state() if hasattr(criterion, "state") else None
    ranking = Ranking(step, alive, scores, state)
    trace.keep(ranking)
    return ranking


def ranking_in_force(
    loss: Loss, criterion: Criterion, trace: Trace, period: int | None, min_units_per_site: int
) -> Ranking:
    """The ranking that the next removal goes by, as an unbroken run would hold it: kept, or else made again.

        made at step s = removed - removed mod period  (0 for period None)

    Where it is lost, it is made again at the gates of step s. A criterion with state first gets that of the last
    ranking before it that is not lost, and makes all since again.
    """
    removed = len(trace.removed)
    period = period or removed + 1
    due = removed - removed % period
    stateful = hasattr(criterion, "restore")
    earliest = 0 if stateful else due
    for made in range(due, earliest - 1, -period):
        ranking = trace.ranking(made)
        if ranking is not None and _is_sound(ranking, gates_at(loss.units, trace, made), stateful):
            if stateful:
                criterion.restore(ranking.state)  # pyright: ignore[reportAttributeAccessIssue]
            break
    else:
        made, ranking = earliest - period, None
    for lost in range(made + period, due + 1, period):
        ranking = rank(loss, criterion, trace, lost, min_units_per_site)
    if ranking is None:
        raise AssertionError("unreachable: the first loop finds a ranking, or the second makes it")
    return ranking


def _is_sound(ranking: Ranking, gates: Tensor, stateful: bool) -> bool:
    fits = torch.equal(ranking.alive, gates.nonzero().flatten())
    return fits and (isinstance(ranking.state, Mapping) or not stateful)


def _name(criterion: Criterion) -> str:
    return getattr(criterion, "__name__", type(criterion).__name__)
