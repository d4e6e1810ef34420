"""What every stop offers, and what two of them do together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from secateur.trace import Step, Trace, Verdict


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
        return self.lacking(step)

    def lacking(self, step: Step) -> list[str]:
        """The goals of size that `step` does not meet, in words."""
        return [goal for part in self.parts() for goal in part.lacking(step)]

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
class any_of(Stop):
    """`a | b`: stop when either does.

        VIOLATED if a part is, or else REACHED if a part is, or else CONTINUE

    >>> from secateur.stopping import fraction, units
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

    >>> from secateur.stopping import fraction, units
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
        before = trace.until(max(trace.steps[-1].step - 1, 0))
        return Verdict.REACHED if any(stop.verdict(before) is Verdict.CONTINUE for stop in goals) else Verdict.VIOLATED

    def describe(self) -> str:
        return " and ".join(_grouped(stop) for stop in self.stops)

    def because(self, trace: Trace) -> str:
        return " and ".join(stop.because(trace) for stop in self.stops)

    def to_dict(self) -> dict[str, Any]:
        return {"stop": "all_of", "stops": [stop.to_dict() for stop in self.stops]}

    def __str__(self) -> str:
        return " & ".join(f"({stop})" if isinstance(stop, any_of) else str(stop) for stop in self.stops)


def _arguments(stop: Stop) -> Iterator[tuple[str, Any]]:
    return ((spec.name, getattr(stop, spec.name)) for spec in fields(stop))  # pyright: ignore[reportArgumentType]


def _flat(kind: type[any_of] | type[all_of], *stops: Stop) -> tuple[Stop, ...]:
    return tuple(part for stop in stops for part in (stop.parts() if isinstance(stop, kind) else (stop,)))


def _grouped(stop: Stop) -> str:
    return f"({stop.describe()})" if stop.parts() else stop.describe()
