"""When to stop removing: `sc.stop.metric_drop("accuracy", 0.01) | sc.stop.fraction(0.8)`.

Goals (units, fraction, parameters, bytes, flops) are REACHED by a step that belongs to the result. Constraints
(error_rise, metric_drop, certified_drop) are VIOLATED by a step that does not: the result is the step before it.

`a | b` stops when either does; where one is reached by the very step that violates the other, the violation counts.
`a & b` stops when both do; a violation is then tolerated up to the step that reaches the goal, and no further:
`fraction(0.5) & metric_drop("accuracy", 0.01)` removes half whatever it costs, and more while the accuracy holds.

A stop is one small frozen dataclass, named as users call it in Python, on the command line and in a TOML file, and a
row of STOPS.
"""

from __future__ import annotations

import ast
import inspect
import math
import numbers
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from secateur.errors import OptionError, UnknownNameError
from secateur.paired import Pairs, count_names, drop_p_value
from secateur.trace import Step, Trace, Verdict

# Floating-point sums of per-example terms may end a rounding error beyond a limit that they meet exactly.
SLACK = 1e-12


class Stop:
    """The face of every stop; a stop of your own needs `verdict` and `describe`."""

    __slots__ = ()

    def verdict(self, trace: Trace) -> Verdict:
        """What to do after the last step of `trace`; earlier steps were let pass."""
        raise NotImplementedError

    def describe(self) -> str:
        """The stop in words, to follow "until"."""
        raise NotImplementedError

    def because(self, trace: Trace) -> str:
        """The parts of the stop that stop at the last step of `trace`, in words."""
        return self.describe()

    @property
    def metrics(self) -> frozenset[str]:
        """The names of the metrics that must be measured at every step."""
        return frozenset().union(*(part.metrics for part in self.parts()))

    @property
    def needs_validation(self) -> bool:
        """Whether its metrics mean nothing on the examples that rank the units."""
        return any(part.needs_validation for part in self.parts())

    def parts(self) -> tuple[Stop, ...]:
        """The stops that this one combines; none for a simple one."""
        return ()

    def unmet(self, trace: Trace) -> list[str]:
        """The goals of size that the result of `trace` does not meet, in words; empty when the stop was reached."""
        step, reason = trace.result(self)
        if reason.kind == "reached":
            return []
        sizes = [part for part in _leaves(self) if isinstance(part, _Size)]
        return [f"{size.describe()}: the result has {size.size(step):,}" for size in sizes if size.size(step) > size.n]

    def to_dict(self) -> dict[str, Any]:
        """The stop as JSON-able values; `from_dict` is the way back."""
        return {"stop": type(self).__name__, **{key: value for key, value in _arguments(self) if value is not None}}

    def __str__(self) -> str:
        """The stop as `parse` reads it."""
        shown = ", ".join(f"{key}={value!r}" for key, value in _arguments(self) if value is not None)
        return f"{type(self).__name__}({shown})"

    def __or__(self, other: Stop) -> Stop:
        return any_of(_flat(any_of, self, other)) if isinstance(other, Stop) else NotImplemented

    def __and__(self, other: Stop) -> Stop:
        return all_of(_flat(all_of, self, other)) if isinstance(other, Stop) else NotImplemented


@dataclass(frozen=True, slots=True)
class units(Stop):
    """Stop when n units are removed.

        removed >= n

    Units: n counts units; 0 is the untouched network.
    Raises: OptionError for a negative n.

    >>> units(2).verdict(Trace(4, steps=[Step(0, None, 1.0, math.nan)])).name
    'CONTINUE'
    """

    n: int

    def __post_init__(self) -> None:
        _whole(self, "n")

    def verdict(self, trace: Trace) -> Verdict:
        return _goal(_now(trace).step >= self.n)

    def describe(self) -> str:
        return f"{self.n:,} units are removed"


@dataclass(frozen=True, slots=True)
class fraction(Stop):
    """Stop when a fraction of all units is removed.

        removed >= f * K, for K units in the untouched network

    Units: f in (0, 1].
    Raises: OptionError for another f.

    >>> fraction(0.5).verdict(Trace(1, steps=[Step(0, None, 1.0, math.nan), Step(1, "fc1:0", 1.5, 0.5)])).name
    'REACHED'
    """

    f: float

    def __post_init__(self) -> None:
        _number(self, "f")
        if not 0 < self.f <= 1:
            raise OptionError(f"fraction(f) got f={self.f!r}; expected a number above 0 and at most 1, such as 0.8.")

    def verdict(self, trace: Trace) -> Verdict:
        return _goal(_now(trace).step >= self.f * trace.unit_count * (1 - SLACK))

    def describe(self) -> str:
        return f"{100 * self.f:g}% of the units are removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class error_rise(Stop):
    """Stop before the error rises by more than a limit over that of the untouched network.

        violated when E(g) - E(1) > absolute, or > relative * |E(1)|

    Units: those of E, the loss summed over the scored examples (multiply a limit for one example by their number);
    `relative` has none: 0.1 allows a tenth of E(1). Exactly one of the two is given.
    Raises: OptionError for both or neither, and for a negative limit.

    >>> trace = Trace(4, steps=[Step(0, None, 1.0, math.nan), Step(1, "fc1:0", 1.5, 0.5)])
    >>> error_rise(absolute=0.5).verdict(trace).name, error_rise(relative=0.4).verdict(trace).name
    ('CONTINUE', 'VIOLATED')
    """

    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        if (self.absolute is None) == (self.relative is None):
            raise OptionError(f"error_rise takes either absolute=... or relative=...; got {self}.")
        _limit(self, "relative" if self.absolute is None else "absolute")

    def verdict(self, trace: Trace) -> Verdict:
        start, now = abs(trace.steps[0].error), abs(_now(trace).error)
        limit = self.absolute if self.absolute is not None else (self.relative or 0.0) * start
        return _constraint(_now(trace).error - trace.steps[0].error <= limit + SLACK * (start + now))

    def describe(self) -> str:
        limit = f"{self.absolute:g}" if self.absolute is not None else f"{100 * (self.relative or 0.0):g}% of its start"
        return f"the error rises by more than {limit}"


@dataclass(frozen=True, slots=True)
class metric_drop(Stop):
    """Stop before a metric drops by more than a limit below that of the untouched network.

        violated when metric(1) - metric(g) > drop, or metric(g) is NaN

    Units: those of the metric, of which more is better; absolute: 0.01 of accuracy is one point, not 1% of it.
    Raises: OptionError for a negative drop; UnknownNameError, at the first step, for a metric that is not measured.

    >>> trace = Trace(4, steps=[Step(0, None, 1.0, math.nan, {"accuracy": 0.98})])
    >>> trace.append(Step(1, "fc1:0", 1.5, 0.5, {"accuracy": 0.97}))
    >>> metric_drop("accuracy", 0.01).verdict(trace).name, metric_drop("accuracy", 0.005).verdict(trace).name
    ('CONTINUE', 'VIOLATED')
    """

    name: str
    drop: float

    def __post_init__(self) -> None:
        _metric_name(self)
        _limit(self, "drop")

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({self.name})

    def verdict(self, trace: Trace) -> Verdict:
        first, now = trace.steps[0].metrics, _now(trace).metrics
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

    >>> counts = {"accuracy_lost": 2.0, "accuracy_gained": 1.0, "accuracy_same": 1997.0}
    >>> trace = Trace(4, steps=[Step(0, None, 1.0, math.nan), Step(1, "fc1:0", 1.5, 0.5, counts)])
    >>> certified_drop("accuracy", 0.01).verdict(trace).name, certified_drop("accuracy", 0.001).verdict(trace).name
    ('CONTINUE', 'VIOLATED')
    """

    name: str
    drop: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _metric_name(self)
        for limit in ("drop", "confidence"):
            if not 0 < _number(self, limit) < 1:
                got = getattr(self, limit)
                raise OptionError(f"certified_drop got {limit}={got!r}; expected a number between 0 and 1.")

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({self.name, *count_names(self.name)})

    @property
    def needs_validation(self) -> bool:
        return True

    def verdict(self, trace: Trace) -> Verdict:
        now = _now(trace)
        if now.step == 0:
            return Verdict.CONTINUE
        pairs = Pairs.read(self.name, now.metrics)
        return _constraint(drop_p_value(pairs, self.drop) <= 1 - self.confidence)

    def describe(self) -> str:
        return f"a drop of {self.name} below {self.drop:g} is no longer certain at the {100 * self.confidence:g}% level"


@dataclass(frozen=True, slots=True)
class _Size(Stop):
    """What the goals of size share: stop when the cut network has at most n of what `size` tells."""

    n: int

    def __post_init__(self) -> None:
        _whole(self, "n")

    def size(self, step: Step) -> int:
        raise NotImplementedError

    def verdict(self, trace: Trace) -> Verdict:
        if self.size(trace.steps[0]) <= 0:
            raise OptionError(f"{self} needs the network's size, and the run measures none: have `measure` return it.")
        return _goal(self.size(_now(trace)) <= self.n)

    def describe(self) -> str:
        return f"the network has at most {self.n:,} {type(self).__name__}"


@dataclass(frozen=True, slots=True)
class parameters(_Size):
    """Stop when the cut network has at most n parameters.

        params(g) <= n

    Units: numbers, not bytes; buffers are not counted.
    Raises: OptionError for a negative n, or at the first step of a run that does not measure sizes.

    >>> parameters(30).verdict(Trace(1, steps=[Step(0, None, 1.0, math.nan, params=31)])).name
    'CONTINUE'
    """

    def size(self, step: Step) -> int:
        return step.params


@dataclass(frozen=True, slots=True)
class bytes(_Size):
    """Stop when the parameters of the cut network take at most n bytes.

        bytes(g) <= n

    Units: bytes, in the network's own dtype.
    Raises: OptionError for a negative n, or at the first step of a run that does not measure sizes.

    >>> bytes(124).verdict(Trace(1, steps=[Step(0, None, 1.0, math.nan, bytes=124)])).name
    'REACHED'
    """

    def size(self, step: Step) -> int:
        return step.bytes


@dataclass(frozen=True, slots=True)
class flops(_Size):
    """Stop when the cut network needs at most n floating-point operations for one example.

        flops(g) <= n

    Units: floating-point operations; a multiplication and an addition are two.
    Raises: OptionError for a negative n, or at the first step of a run that does not measure sizes.

    >>> flops(60).verdict(Trace(1, steps=[Step(0, None, 1.0, math.nan, flops=62)])).name
    'CONTINUE'
    """

    def size(self, step: Step) -> int:
        return step.flops


@dataclass(frozen=True, slots=True)
class never(Stop):
    """Do not stop: remove every unit that may be removed.

        removed = K - min_units_per_site * sites

    >>> never().verdict(Trace(1, steps=[Step(0, None, 1.0, math.nan)])).name
    'CONTINUE'
    """

    def verdict(self, trace: Trace) -> Verdict:
        return Verdict.CONTINUE

    def describe(self) -> str:
        return "no unit is left that may be removed"


@dataclass(frozen=True, slots=True)
class any_of(Stop):
    """`a | b`: stop when either does.

        VIOLATED if a part is, or else REACHED if a part is, or else CONTINUE

    >>> print(units(3) | fraction(0.5))
    units(n=3) | fraction(f=0.5)
    """

    stops: tuple[Stop, ...]

    def parts(self) -> tuple[Stop, ...]:
        return self.stops

    def verdict(self, trace: Trace) -> Verdict:
        verdicts = {stop.verdict(trace) for stop in self.stops}
        worst_first = (Verdict.VIOLATED, Verdict.REACHED, Verdict.CONTINUE)
        return next(verdict for verdict in worst_first if verdict in verdicts)

    def describe(self) -> str:
        return " or ".join(_grouped(stop) for stop in self.stops)

    def because(self, trace: Trace) -> str:
        verdict = self.verdict(trace)
        return " and ".join(stop.because(trace) for stop in self.stops if stop.verdict(trace) is verdict)

    def to_dict(self) -> dict[str, Any]:
        return {"stop": "any_of", "stops": [stop.to_dict() for stop in self.stops]}

    def __str__(self) -> str:
        return " | ".join(str(stop) for stop in self.stops)


@dataclass(frozen=True, slots=True)
class all_of(Stop):
    """`a & b`: stop when both do.

        CONTINUE while a part does; then what all parts say; or else, of goals and violations together,
        REACHED if a goal is reached only now (the violation was tolerated so far),
        VIOLATED if all goals were reached before (the violation is what is new)

    >>> print(units(3) & fraction(0.5))
    units(n=3) & fraction(f=0.5)
    """

    stops: tuple[Stop, ...]

    def parts(self) -> tuple[Stop, ...]:
        return self.stops

    def verdict(self, trace: Trace) -> Verdict:
        verdicts = [stop.verdict(trace) for stop in self.stops]
        if Verdict.CONTINUE in verdicts:
            return Verdict.CONTINUE
        goals = [stop for stop, verdict in zip(self.stops, verdicts, strict=True) if verdict is Verdict.REACHED]
        if len(goals) in (0, len(verdicts)):
            return verdicts[0]
        before = trace.until(max(_now(trace).step - 1, 0))
        return _goal(True) if any(stop.verdict(before) is Verdict.CONTINUE for stop in goals) else Verdict.VIOLATED

    def describe(self) -> str:
        return " and ".join(_grouped(stop) for stop in self.stops)

    def because(self, trace: Trace) -> str:
        return " and ".join(stop.because(trace) for stop in self.stops)

    def to_dict(self) -> dict[str, Any]:
        return {"stop": "all_of", "stops": [stop.to_dict() for stop in self.stops]}

    def __str__(self) -> str:
        return " & ".join(f"({stop})" if isinstance(stop, any_of) else str(stop) for stop in self.stops)


STOPS: dict[str, type[Stop]] = {
    "units": units,
    "fraction": fraction,
    "error_rise": error_rise,
    "metric_drop": metric_drop,
    "certified_drop": certified_drop,
    "parameters": parameters,
    "bytes": bytes,
    "flops": flops,
    "never": never,
}


def parse(text: str) -> Stop:
    """The stop that a line of text spells, as on the command line and in a TOML file; never evaluates it.

        stop := name(argument, ...) | stop "|" stop | stop "&" stop | (stop)

    Arguments are numbers, strings, or bare words for strings; & binds tighter than |.
    Raises: UnknownNameError for a name that is no stop, with the nearest; OptionError for anything else.

    >>> parse("metric_drop(accuracy, 0.01) | fraction(0.8)") == metric_drop("accuracy", 0.01) | fraction(0.8)
    True
    """
    if not isinstance(text, str):
        raise OptionError(f"a stop is spelt as text, such as 'fraction(0.8)'; got {text!r}.")
    try:
        return _stop(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            f"cannot read the stop {text[:200]!r}: {error}. Expected one such as "
            "'metric_drop(accuracy, 0.01) | fraction(0.8)'."
        ) from error


def from_dict(record: Mapping[str, Any]) -> Stop:
    """The stop that `Stop.to_dict` wrote.

        from_dict(stop.to_dict()) == stop

    Raises: UnknownNameError for a name that is no stop; OptionError for a record of another shape.

    >>> from_dict({"stop": "fraction", "f": 0.8})
    fraction(f=0.8)
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("stop"), str):
        raise OptionError(f"a stop is recorded as {{'stop': name, ...}}; got {record!r}.")
    arguments = {key: value for key, value in record.items() if key != "stop"}
    if record["stop"] in ("any_of", "all_of"):
        stops = arguments.get("stops")
        if not isinstance(stops, list) or len(stops) < 2 or len(arguments) > 1:
            raise OptionError(f"{record['stop']} is recorded with a list 'stops' of two or more; got {record!r}.")
        return (any_of if record["stop"] == "any_of" else all_of)(tuple(from_dict(stop) for stop in stops))
    return _build(record["stop"], (), arguments)


def _stop(node: ast.expr) -> Stop:
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            return _stop(left) | _stop(right)
        case ast.BinOp(left, ast.BitAnd(), right):
            return _stop(left) & _stop(right)
        case ast.Call(ast.Name(name), arguments, keywords) if all(word.arg for word in keywords):
            named = {word.arg or "": _argument(word.value) for word in keywords}
            if len(named) < len(keywords):
                raise OptionError(f"{ast.unparse(node)!r} gives an argument twice; expected each once.")
            return _build(name, tuple(_argument(argument) for argument in arguments), named)
    raise OptionError(f"{ast.unparse(node)!r} is no stop; expected a name with arguments, such as fraction(0.8).")


def _argument(node: ast.expr) -> float | str:
    match node:
        case ast.Name(word):
            return word
        case ast.Constant(value) if isinstance(value, int | float | str) and not isinstance(value, bool):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, int | float):
            return -value
    raise OptionError(f"{ast.unparse(node)!r} is no argument of a stop; expected a number or a word.")


def _build(name: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Stop:
    if name not in STOPS:
        raise UnknownNameError("stop", name, STOPS)
    try:
        return STOPS[name](*positional, **named)
    except TypeError as error:
        wanted = str(inspect.signature(STOPS[name])).removesuffix(" -> None")
        raise OptionError(f"the arguments of {name} do not fit: {error}. Expected {name}{wanted}.") from error


def _arguments(stop: Stop) -> Iterator[tuple[str, Any]]:
    return ((spec.name, getattr(stop, spec.name)) for spec in fields(stop))  # pyright: ignore[reportArgumentType]


def _flat(kind: type[any_of] | type[all_of], *stops: Stop) -> tuple[Stop, ...]:
    return tuple(part for stop in stops for part in (stop.parts() if isinstance(stop, kind) else (stop,)))


def _leaves(stop: Stop) -> Iterator[Stop]:
    for part in stop.parts():
        yield from _leaves(part)
    if not stop.parts():
        yield stop


def _grouped(stop: Stop) -> str:
    return f"({stop.describe()})" if stop.parts() else stop.describe()


def _now(trace: Trace) -> Step:
    return trace.steps[-1]


def _goal(reached: bool) -> Verdict:
    return Verdict.REACHED if reached else Verdict.CONTINUE


def _constraint(kept: bool) -> Verdict:
    return Verdict.CONTINUE if kept else Verdict.VIOLATED


def _number(stop: Stop, name: str) -> float:
    value = getattr(stop, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise OptionError(f"{type(stop).__name__} got {name}={value!r}; expected a finite number.")
    object.__setattr__(stop, name, float(value))  # a NumPy scalar is no JSON
    return float(value)


def _metric_name(stop: metric_drop | certified_drop) -> None:
    if not isinstance(stop.name, str) or not stop.name:
        raise OptionError(f"{type(stop).__name__}(name, drop) got name={stop.name!r}; expected the name of a metric.")


def _limit(stop: Stop, name: str) -> None:
    if _number(stop, name) < 0:
        raise OptionError(f"{type(stop).__name__} got {name}={getattr(stop, name)!r}; expected 0 or more.")


def _whole(stop: Stop, name: str) -> None:
    value = _number(stop, name)
    if value < 0 or value != int(value):
        raise OptionError(f"{type(stop).__name__} got {name}={value!r}; expected a whole number, 0 or more.")
    object.__setattr__(stop, name, int(value))  # 1e6 from a command line is a whole number too
