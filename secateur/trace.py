"""The record of a pruning run, step by step."""

from __future__ import annotations

import csv
import enum
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, NotRequired, Protocol, TypedDict

from secateur.errors import NonFiniteError, RunError

if TYPE_CHECKING:  # torch takes a second to import, and nothing here computes with it
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """What was known after one removal; step 0 is the untouched network.

    `unit` is the name of the removed unit (None at step 0); `error` is E(g) evaluated afresh after the removal; `score`
    what the criterion had said (NaN at step 0); `metrics` by name, on the validation set if there is one;
    `params`, `bytes` and `flops` (for one example) are those of the network with all removed units cut.

    >>> step = Step(1, "fc1:17", error=12.5, score=0.25, metrics={"accuracy": 0.97})
    >>> Step.from_json(step.to_json()) == step
    True
    """

    step: int
    unit: str | None
    error: float
    score: float
    metrics: dict[str, float] = field(default_factory=dict)
    params: int = 0
    bytes: int = 0
    flops: int = 0

    def to_json(self) -> str:
        """One line of strict JSON: null for NaN, and an infinite metric as the string "Infinity" or "-Infinity"."""
        record = {
            "step": int(self.step),
            "unit": self.unit,
            "error": _encode(self.error),
            "score": _encode(self.score),
            "metrics": {name: _encode(value) for name, value in self.metrics.items()},
            "params": int(self.params),
            "bytes": int(self.bytes),
            "flops": int(self.flops),
        }
        return json.dumps(record, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Step:
        """The step that `to_json` wrote; ValueError, TypeError or KeyError where the line is something else."""
        record = json.loads(line, parse_constant=_refuse_constant)
        unit, numbers = record["unit"], [record[key] for key in ("step", "params", "bytes", "flops")]
        if not (unit is None or isinstance(unit, str)) or not all(type(number) is int for number in numbers):
            raise TypeError("unit must be a string or null; step, params, bytes and flops must be integers")
        metrics = {name: _decode(value) for name, value in record["metrics"].items()}
        return cls(numbers[0], unit, _decode(record["error"]), _decode(record["score"]), metrics, *numbers[1:])


class Measured(TypedDict):
    """What is measured afresh at every step: the fields of `Step` that the removal itself does not tell."""

    error: float
    metrics: NotRequired[dict[str, float]]
    params: NotRequired[int]
    bytes: NotRequired[int]
    flops: NotRequired[int]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The scores that a criterion gave after `step` removals to the units then alive (positions, ascending).

    `state` is what the criterion keeps between rounds, just after this one; None for a criterion that keeps nothing.
    """

    step: int
    alive: Tensor
    scores: Tensor
    state: Mapping[str, Any] | None = None


class Verdict(enum.Enum):
    """What a stop says after a step: go on; stop, with this step in the result; or stop at the step before it."""

    CONTINUE = "continue"
    REACHED = "reached"
    VIOLATED = "violated"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run stands where it does: `kind` is "reached", "violated", "exhausted" or "running"; `text` says more."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class Stopping(Protocol):
    """What a trace asks of a stop (see stopping)."""

    def verdict(self, trace: Trace, /) -> Verdict: ...
    def because(self, trace: Trace, /) -> str: ...
    def describe(self) -> str: ...


class Trace:
    """The record of a run in memory: its steps in order, and the newest ranking.

    `unit_count` is the number of units of the untouched network, `removable` how many of them may go before every
    site is down to its last ones (all, unless told otherwise). `rundir.RunDirectory` is the same, on disk.

    Raises: RunError for a step out of order or a unit removed twice, NonFiniteError for an error that is not finite.

    >>> trace = Trace(3, steps=[Step(0, None, 1.0, math.nan), Step(1, "fc1:2", 1.25, 0.25)])
    >>> trace.removed, trace.exhausted
    (('fc1:2',), False)
    """

    def __init__(self, unit_count: int, removable: int | None = None, steps: Iterable[Step] = ()) -> None:
        self.unit_count = unit_count
        self.removable = unit_count if removable is None else removable
        self._steps: list[Step] = []
        self._gone: set[str] = set()
        self._ranking: Ranking | None = None
        for step in steps:
            Trace.append(self, step)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.removed)} of {self.unit_count} units removed)"

    @property
    def steps(self) -> Sequence[Step]:
        """Every step so far, step 0 first."""
        return self._steps

    @property
    def removed(self) -> tuple[str, ...]:
        """The names of the removed units, in order."""
        return tuple(step.unit for step in self._steps if step.unit is not None)

    @property
    def exhausted(self) -> bool:
        """True when no unit is left that may be removed."""
        return len(self._steps) > self.removable

    def append(self, step: Step) -> None:
        """Record the next step."""
        if step.step != len(self._steps):
            raise RunError(f"got step {step.step}, expected step {len(self._steps)}: steps are recorded in order.")
        if (step.unit is None) != (step.step == 0):
            raise RunError(f"step {step.step} has unit {step.unit!r}: every step but step 0 removes one unit.")
        if step.unit in self._gone:
            raise RunError(f"step {step.step} removes {step.unit!r}, which an earlier step has removed.")
        if not math.isfinite(step.error):
            raise NonFiniteError(
                f"the error after step {step.step} (unit {step.unit}) is {step.error}; expected a finite number. Look "
                "for an overflow in the network or the loss, or run it in float64."
            )
        self._steps.append(step)
        if step.unit is not None:
            self._gone.add(step.unit)

    def keep(self, ranking: Ranking) -> None:
        """Keep a ranking, so that a resumed run decides as the unbroken one."""
        self._ranking = ranking

    def ranking(self, step: int) -> Ranking | None:
        """The ranking made at `step`; None if it is not kept (in memory only the newest is) or is damaged."""
        kept = self._ranking
        return kept if kept is not None and kept.step == step else None

    def until(self, step: int) -> Trace:
        """The trace as it was after `step` removals."""
        return Trace(self.unit_count, self.removable, self._steps[: step + 1])

    def result(self, stop: Stopping) -> tuple[Step, Reason]:
        """The last step that belongs to the result under `stop`, and why it is the last.

        The first step that `stop` does not let pass decides: REACHED takes it in, VIOLATED ends at the step before it.
        With no such step the last one recorded is the result, of a run that is "exhausted" or still "running".

        Raises: RunError for a trace that has no step yet.
        """
        if not self._steps:
            raise RunError("the trace holds no step yet, so it has no result: start or resume the run first.")
        prefix = Trace(self.unit_count, self.removable)
        for step in self._steps:
            prefix.append(step)
            verdict = stop.verdict(prefix)
            if verdict is Verdict.REACHED:
                return step, Reason("reached", f"{stop.because(prefix)}, at step {step.step}")
            if verdict is Verdict.VIOLATED:
                last = self._steps[max(step.step - 1, 0)]
                return last, Reason("violated", f"{stop.because(prefix)}, at step {step.step}")
        if self.exhausted:
            return self._steps[-1], Reason("exhausted", "no unit is left that may be removed")
        return self._steps[-1], Reason("running", f"{stop.describe()}: not yet")

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write one row a step; metrics become columns of their names, NaN and what is missing an empty field."""
        metrics = sorted({name for step in self._steps for name in step.metrics})
        with open(path, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", "unit", "error", "score", *metrics, "params", "bytes", "flops"])
            for step in self._steps:
                values = [step.error, step.score, *(step.metrics.get(name, math.nan) for name in metrics)]
                shown = ["" if math.isnan(value) else value for value in values]
                rows.writerow([step.step, step.unit or "", *shown, step.params, step.bytes, step.flops])

    def to_json_lines(self) -> str:
        """The text of an events.jsonl: one line of strict JSON a step."""
        return "".join(step.to_json() + "\n" for step in self._steps)

    @classmethod
    def from_json_lines(cls, text: str, unit_count: int, removable: int | None = None) -> Trace:
        """The trace that `to_json_lines` wrote; RunError names the first line that is damaged."""
        steps, _ = read_steps(text.encode())
        return Trace(unit_count, removable, steps)


def read_steps(content: bytes, where: str = "the trace") -> tuple[list[Step], int]:
    """The steps in the bytes of an events.jsonl, and how many bytes of it are whole.

    A last line that is torn (no line end, or no JSON) is left out of both: the run was killed while it was written.
    """
    trace, whole = Trace(0), 0
    lines = io.BytesIO(content).readlines()  # bytes.splitlines would end lines at a lone carriage return too
    for number, line in enumerate(lines, start=1):
        last = number == len(lines)
        try:
            if not line.endswith(b"\n"):
                raise ValueError("no end of line")
            step = Step.from_json(line.decode())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if last and isinstance(error, ValueError):
                break
            raise RunError(_damaged(where, number, error)) from error
        try:
            trace.append(step)
        except (RunError, NonFiniteError) as error:
            raise RunError(_damaged(where, number, error)) from error
        whole += len(line)
    return list(trace.steps), whole


def _damaged(where: str, number: int, error: Exception) -> str:
    return (
        f"line {number} of {where} is damaged ({type(error).__name__}: {error}). Restore the file, or delete it from "
        "that line on: a resumed run makes the same decisions again from there."
    )


def _encode(value: float) -> float | str | None:
    value = float(value)
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decode(value: float | str | None) -> float:
    if value is None:
        return math.nan
    if value in ("Infinity", "-Infinity") or (isinstance(value, int | float) and not isinstance(value, bool)):
        return float(value)
    raise TypeError(f"expected a number, null or an infinity, got {value!r}")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
