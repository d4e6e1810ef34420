"""Stops that are violated: the harm exceeds its limit."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.errors import OptionError, UnknownNameError
from secateur.paired import Pairs, count_names, drop_p_value
from secateur.stopping.face import Stop
from secateur.stopping.options import SLACK, limit, number
from secateur.trace import Trace, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class error_rise(Stop):
    """Stop before the error rises by more than a limit over that of the untouched network.

        violated when E(g) - E(1) > absolute, or > relative * |E(1)|

    Units: those of E, the loss summed over the scored examples (multiply a limit for one example by their number);
    `relative` has none: 0.1 allows a tenth of E(1). Exactly one of the two is given.
    Raises: OptionError for both or neither, and for a negative limit.

    >>> from secateur.trace import Step
    >>> trace = Trace(4, steps=[Step(0, None, 1.0, float("nan")), Step(1, "fc1:0", 1.5, 0.5)])
    >>> error_rise(absolute=0.5).verdict(trace).name, error_rise(relative=0.4).verdict(trace).name
    ('CONTINUE', 'VIOLATED')
    """

    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        if (self.absolute is None) == (self.relative is None):
            raise OptionError(f"error_rise takes either absolute=... or relative=...; got {self}.")
        limit(self, "relative" if self.absolute is None else "absolute")

    def verdict(self, trace: Trace) -> Verdict:
        start, now = abs(trace.steps[0].error), abs(trace.steps[-1].error)
        most = self.absolute if self.absolute is not None else (self.relative or 0.0) * start
        return _constraint(trace.steps[-1].error - trace.steps[0].error <= most + SLACK * (start + now))

    def describe(self) -> str:
        most = f"{self.absolute:g}" if self.absolute is not None else f"{100 * (self.relative or 0.0):g}% of its start"
        return f"the error rises by more than {most}"


@dataclass(frozen=True, slots=True)
class metric_drop(Stop):
    """Stop before a metric drops by more than a limit below that of the untouched network.

        violated when metric(1) - metric(g) > drop, or metric(g) is NaN

    Units: those of the metric, of which more is better; absolute: 0.01 of accuracy is one point, not 1% of it.
    Raises: OptionError for a negative drop; UnknownNameError, at the first step, for a metric that is not measured.

    >>> from secateur.trace import Step
    >>> trace = Trace(4, steps=[Step(0, None, 1.0, float("nan"), {"accuracy": 0.98})])
    >>> trace.append(Step(1, "fc1:0", 1.5, 0.5, {"accuracy": 0.97}))
    >>> metric_drop("accuracy", 0.01).verdict(trace).name, metric_drop("accuracy", 0.005).verdict(trace).name
    ('CONTINUE', 'VIOLATED')
    """

    name: str
    drop: float

    def __post_init__(self) -> None:
        _metric_name(self)
        limit(self, "drop")

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({self.name})

    def verdict(self, trace: Trace) -> Verdict:
        first, now = trace.steps[0].metrics, trace.steps[-1].metrics
        for measured in (first, now):
            if self.name not in measured:
                raise UnknownNameError("measured metric", self.name, measured)
        return _constraint(first[self.name] - now[self.name] <= self.drop + SLACK)

    def describe(self) -> str:
        return f"{self.name} drops by more than {self.drop:g}"


@dataclass(frozen=True, slots=True)
class certified_drop(Stop):
    """Stop before it is no longer certain that the accuracy has dropped by less than a limit.

        violated when p > 1 - confidence, p that of "the true drop is `drop` or more" (see paired.py)

    The answers to the same examples are compared one by one with those of the untouched network. With probability
    `confidence` the true drop is below the limit at every step that is let pass, whichever of them is the last: each is
    tested at the full level, since the first failure ends the run (fixed-sequence testing). That holds for examples
    that are drawn independently and rank no unit, so a validation set is required. In `a & certified_drop(...)` steps
    beyond the certified ones are tolerated, and nothing is promised of those.

    Units: `name` is a metric that is a share of right answers; `drop` is absolute: 0.01 of accuracy is one point. With
    few examples nothing can be certified: 0.01 needs 301 of them that all keep their answers.
    Raises: OptionError for a drop outside (0, 1), or a confidence outside (0, 1); UnknownNameError, at the first step,
    for answers that are not compared.
    Source: Maurer, Hothorn and Lehmacher, Biometrie in der chemisch-pharmazeutischen Industrie 6 (1995): ordered
    hypotheses.

    >>> from secateur.trace import Step
    >>> counts = {"accuracy_lost": 2.0, "accuracy_gained": 1.0, "accuracy_same": 1997.0}
    >>> trace = Trace(4, steps=[Step(0, None, 1.0, float("nan")), Step(1, "fc1:0", 1.5, 0.5, counts)])
    >>> certified_drop("accuracy", 0.01).verdict(trace).name, certified_drop("accuracy", 0.001).verdict(trace).name
    ('CONTINUE', 'VIOLATED')
    """

    name: str
    drop: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _metric_name(self)
        for option in ("drop", "confidence"):
            if not 0 < number(self, option) < 1:
                got = getattr(self, option)
                raise OptionError(f"certified_drop got {option}={got!r}; expected a number between 0 and 1.")

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({self.name, *count_names(self.name)})

    @property
    def needs_validation(self) -> bool:
        return True

    def verdict(self, trace: Trace) -> Verdict:
        now = trace.steps[-1]
        if now.step == 0:
            return Verdict.CONTINUE
        pairs = Pairs.read(self.name, now.metrics)
        return _constraint(drop_p_value(pairs, self.drop) <= 1 - self.confidence)

    def describe(self) -> str:
        return f"a drop of {self.name} below {self.drop:g} is no longer certain at the {100 * self.confidence:g}% level"


def _metric_name(stop: metric_drop | certified_drop) -> None:
    if not isinstance(stop.name, str) or not stop.name:
        raise OptionError(f"{type(stop).__name__}(name, drop) got name={stop.name!r}; expected the name of a metric.")


def _constraint(kept: bool) -> Verdict:
    return Verdict.CONTINUE if kept else Verdict.VIOLATED
