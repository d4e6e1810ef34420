"""The algorithm: switch off the unit whose score is lowest, measure the network afresh, and again."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from secateur.ranking import (
    Criterion,
    Loss,
    begin,
    gates_at,
    lowest,
    rank,
    ranking_in_force,
    removable,
    scores_of,
    tie_tolerance,
)
from secateur.stopping import Stop
from secateur.trace import Measured, Step, Trace, Verdict


def remove_units(
    loss: Loss,
    criterion: Criterion,
    stop: Stop,
    rerank_every: int | None = 1,
    *,
    min_units_per_site: int = 1,
    measure: Callable[[Tensor], Measured] | None = None,
    trace: Trace | None = None,
    progress: Callable[[Step], object] | None = None,
) -> Trace:
    """Greedy removal. rerank_every=None ranks once (the paper's Algorithm I); 1 ranks after each removal (II).

        u = argmin over removable u of score(u),   g <- g - e_u,   until `stop`

    Ties go to the earliest unit. A `trace` with steps, such as a run directory, goes on where it stands and decides as
    an unbroken run would. `measure(gates)` gives what a step records; by default the error alone.

    Shape: gates (K,) float64, 1 for on and 0 for off.
    Raises: OptionError, CriterionError, NonFiniteError; RunError for a trace of another network.
    Source: PAPER.md, Algorithms I and II.
    """
    trace = begin(loss, criterion, trace, rerank_every, min_units_per_site)
    gates = gates_at(loss.units, trace, len(trace.removed))
    if not trace.steps:
        _record(trace, None, math.nan, gates, loss, measure, progress)
    ranking, running = None, trace.result(stop)[1].kind == "running"
    while running and not trace.exhausted:
        candidates = removable(loss.units, gates, min_units_per_site)
        if ranking is None:
            ranking = ranking_in_force(loss, criterion, trace, rerank_every, min_units_per_site)
        elif rerank_every and trace.steps[-1].step % rerank_every == 0:
            ranking = rank(loss, criterion, trace, trace.steps[-1].step, min_units_per_site)
        scores = scores_of(ranking, candidates)
        first = lowest(scores, trace.steps[ranking.step].error, tie_tolerance(loss, criterion))
        gates = gates.index_fill(0, candidates[first], 0.0)
        _record(trace, int(candidates[first]), float(scores[first]), gates, loss, measure, progress)
        running = stop.verdict(trace) is Verdict.CONTINUE
    return trace


def _record(
    trace: Trace,
    unit: int | None,
    score: float,
    gates: Tensor,
    loss: Loss,
    measure: Callable[[Tensor], Measured] | None,
    progress: Callable[[Step], object] | None,
) -> None:
    name = None if unit is None else list(loss.units)[unit].name
    measured = measure(gates) if measure else Measured(error=float(loss(gates)))
    trace.append(Step(len(trace.steps), name, score=score, **measured))
    if progress:
        progress(trace.steps[-1])
