"""Whole pruning runs with iterative re-ranking: seconds, decisions and errors, by each engine and criterion."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from secateur import baselines, criteria, oracle, stopping
from secateur.bench.compare import beside, both_curves
from secateur.bench.oracle import evaluations, report
from secateur.bench.subjects import Subject
from secateur.bench.timing import interleaved
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.losses import LOSSES
from secateur.stopping import Stop
from secateur.trace import Measured, Step, Trace, Verdict

TOLERATED = 0.05
"""Curves are compared up to this share of the error of the best constant answer."""


@dataclass(frozen=True, slots=True)
class Deadline(Stop):
    """Stop when a moment of time.perf_counter has passed; a stop of benchmarks, for its result depends on the clock."""

    moment: float

    def verdict(self, trace: Trace) -> Verdict:
        return Verdict.REACHED if time.perf_counter() >= self.moment else Verdict.CONTINUE

    def describe(self) -> str:
        return "the time is up"


@dataclass
class Curve:
    """One run: entry k of every list stands after k removals.

    `seconds` is all that the run took, the evaluation of E after each removal with it; `deciding` leaves that out.
    """

    method: str
    removed: list[str] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    deciding: list[float] = field(default_factory=list)
    evaluations: dict[str, Any] | None = None
    ended: str = ""

    def record(self) -> dict[str, Any]:
        return dict(vars(self))


def run(loss: GatedLoss, method: str, *, down_to: float = 0.05, limit_seconds: float | None = None) -> Curve:
    """One run to `down_to` of the units, ranked again after each removal. A method is an engine of the oracle, or else
    the name of a criterion.

    Units: seconds of wall time, without validation, disk and tracing; errors are E, summed over examples.
    Raises: UnknownNameError; OptionError for a fraction that is none.

    >>> import torch
    >>> from secateur.zoo import mlp
    >>> loss = GatedLoss(mlp((2, 4, 2)).eval(), (torch.rand(5, 2), torch.zeros(5, dtype=torch.int64)))
    >>> len(run(loss, "exact", down_to=0.5).removed)
    2
    """
    if not 0 <= down_to < 1:
        raise OptionError(f"got down_to={down_to!r}; expected a fraction of the units, at least 0 and below 1.")
    engine = is_engine(method)
    criterion: Any = criteria.resolve("oracle", method) if engine else criteria.resolve(method)
    curve, measuring = Curve(label(method)), [0.0]
    stop: Stop = stopping.fraction(1 - down_to)
    start = time.perf_counter()
    if limit_seconds is not None:
        stop = stop | Deadline(start + limit_seconds)

    def measure(gates: Tensor) -> Measured:
        before = time.perf_counter()
        with torch.no_grad():
            error = float(loss(gates))
        measuring[0] += time.perf_counter() - before
        return {"error": error}

    def note(step: Step) -> None:
        spent = time.perf_counter() - start
        curve.seconds.append(spent)
        curve.deciding.append(spent - measuring[0])
        curve.errors.append(step.error)
        if step.unit is not None:
            curve.removed.append(step.unit)

    trace = remove_units(loss, criterion, stop, 1, measure=measure, progress=note)
    done = len(curve.removed) >= (1 - down_to) * len(loss.units) * (1 - 1e-12)
    curve.ended = "done" if done else "exhausted" if trace.exhausted else "time is up"
    told = report(criterion)
    if engine:
        exact = _exact_evaluations(loss, len(curve.removed))
        curve.evaluations = {"stands_for": exact, "made": evaluations(told, exact), "report": dict(told)}
    return curve


def compared_runs(
    subject: Subject,
    methods: Sequence[str],
    *,
    down_to: float = 0.05,
    limit_seconds: float | None = None,
    rounds: int = 1,
    warm: bool = True,
) -> dict[str, Any]:
    """Whole runs by several engines and criteria in turns, each beside the exact engine's and beside the Taylor runs.

    With several rounds each point's seconds are the median of the rounds (over the removals that all rounds reached).
    The plain loop is not run but extrapolated: the forwards that its rounds would take, at the seconds of one measured.

    Units: seconds of wall time without validation, disk and compilation (a first, unmeasured removal warms up).
    Raises: UnknownNameError; OptionError.
    """
    loss = subject.loss
    if warm:
        for method in methods:
            run(loss, method, down_to=1 - 1 / len(loss.units))
    curves: dict[str, list[Curve]] = {method: [] for method in methods}
    for _ in range(rounds):
        for method in methods:
            curves[method].append(run(loss, method, down_to=down_to, limit_seconds=limit_seconds))
    found = {method: median_curve(all_rounds) for method, all_rounds in curves.items()}
    ceiling = TOLERATED * constant_error(loss)
    plain = _plain_forward(loss)
    records = []
    for method, curve in found.items():
        record = curve.record() | {"engine": method if is_engine(method) else None}
        if plain is not None:
            forwards = plain_forwards(len(loss.units), len(curve.removed))
            record["plain_loop"] = {
                "seconds": forwards * plain,
                "forwards": forwards,
                "faster": forwards * plain / curve.seconds[-1],
                "extrapolated": "forwards of all rounds, times the median seconds of one forward",
            }
        if "exact" in found and method != "exact":
            record["beside_exact"] = beside(curve, found["exact"], ceiling)
        if is_engine(method):
            rivals = [name for name in found if name.startswith("taylor")]
            record["beside"] = {name: both_curves(curve, found[name]) for name in rivals}
        records.append(record)
    return {
        **subject.record(),
        "down_to": down_to,
        "rounds": rounds,
        "limit_seconds": limit_seconds,
        "constant_error": ceiling / TOLERATED,
        "compared_up_to": ceiling,
        "runs": records,
    }


def is_engine(method: str) -> bool:
    """Whether a method is an engine of the oracle, with or without options.

    >>> is_engine("lazy(fresh=3)"), is_engine("taylor1")
    (True, False)
    """
    return method.partition("(")[0] in oracle.ENGINES


def label(method: str) -> str:
    """What a method is called in tables and figures.

    >>> label("exact"), label("taylor1")
    ('oracle (exact)', 'taylor1')
    """
    return f"oracle ({method})" if is_engine(method) else method


def median_curve(rounds: Sequence[Curve]) -> Curve:
    """The curve with the median seconds of several rounds, over the removals that all made alike.

    >>> a, b = Curve("m", ["x"], [1, 2], [0.0, 1.0], [0.0, 1.0]), Curve("m", ["x"], [1, 2], [0.0, 3.0], [0.0, 2.0])
    >>> median_curve([a, b]).seconds
    [0.0, 2.0]
    """
    first = rounds[0]
    alike = 0
    for names in zip(*(curve.removed for curve in rounds), strict=False):
        if len(set(names)) > 1:
            break
        alike += 1

    def middle(lists: Sequence[Sequence[float]]) -> list[float]:
        rows = torch.tensor([list(values[: alike + 1]) for values in lists], dtype=torch.float64)
        return rows.quantile(0.5, dim=0).tolist()

    ended = first.ended if alike == len(first.removed) else f"{first.ended}; rounds differ after {alike} removals"
    seconds, deciding = middle([c.seconds for c in rounds]), middle([c.deciding for c in rounds])
    return Curve(
        first.method, first.removed[:alike], first.errors[: alike + 1], seconds, deciding, first.evaluations, ended
    )


def plain_forwards(units: int, removals: int) -> int:
    """Forwards of all examples that a plain loop makes for so many removals: one for each unit that is on, and one
    with them all.

        sum over r = 0 .. removals - 1 of units - r + 1

    >>> plain_forwards(4, 2)
    9
    """
    return sum(units - gone + 1 for gone in range(removals))


def constant_error(loss: GatedLoss) -> float:
    """E of the best constant answer: the mean of the targets, the logits of the classes' shares.

        min over c of sum over examples of l(c, y_n)

    Units: those of E.
    Raises: OptionError for a loss without a name.

    >>> from secateur.zoo import mlp
    >>> x = torch.rand(4, 2)
    >>> round(constant_error(GatedLoss(mlp((2, 2, 2)).eval(), (x, torch.tensor([0, 1, 0, 1])))), 4)  # 4 log 2
    2.7726
    """
    if not loss.maps:
        raise OptionError("the best constant answer is known for losses with a name; got a function.")
    target = torch.cat([tile.target for tile in loss.tiles()])
    if target.is_floating_point():
        mean = target.mean(0, keepdim=True)
    else:
        flat = target.flatten()
        counts = torch.bincount(flat, minlength=loss.classes).to(torch.float64)
        shape = [1, -1, *[1] * (target.dim() - 1)]
        mean = (counts / len(flat)).view(shape).expand(1, -1, *target.shape[1:])
    tiny = torch.finfo(torch.float64).tiny
    if loss.loss == "cross_entropy":
        mean = mean.clamp_min(tiny).log()
    elif loss.loss == "bce":
        mean = mean.clamp_min(tiny).log() - (1 - mean).clamp_min(tiny).log()
    return float(LOSSES[str(loss.loss)](mean.expand(len(target), *mean.shape[1:]), target).sum())


def _exact_evaluations(loss: GatedLoss, removals: int) -> int:
    """Changes of single examples that all rounds of an exact oracle stand for."""
    return sum(len(loss.units) - gone for gone in range(removals)) * len(loss.examples)


def _plain_forward(loss: GatedLoss) -> float | None:
    """Median seconds of one forward of the plain loop; None where that can't run this network."""
    try:
        peer = baselines.PlainLoop(loss)
    except OptionError:
        return None
    units = torch.arange(min(4, len(loss.units)))
    return interleaved({"plain": lambda: peer(units)}, 3)["plain"].median / peer.forwards(units)
