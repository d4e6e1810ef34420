"""A bar for people who watch: rounds done, evaluations made and saved, time left."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from secateur import stopping
from secateur.trace import Step, Trace

Report = Callable[[], Mapping[str, Any]]
"""What an engine tells of its run so far: "evaluations", and "exact_evaluations" that the exact engine would make."""


@contextmanager
def progress_bar(
    wanted: bool | Callable[[Step], object],
    trace: Trace,
    stop: stopping.Stop,
    report: Report | None = None,
) -> Iterator[Callable[[Step], object] | None]:
    """A bar on standard error, only on a terminal; or the caller's own function."""
    if callable(wanted):
        yield wanted
        return
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}")
    with Progress(text, *columns, console=Console(stderr=True), transient=True) as bar:
        total = most_rounds(stop, trace)
        task = bar.add_task("removing units", total=total, completed=max(len(trace.steps) - 1, 0))

        def advance(step: Step) -> None:
            bar.update(task, completed=step.step, description=described(step, report() if report else {}))

        yield advance


def most_rounds(stop: stopping.Stop, trace: Trace) -> int:
    """How many units go at the most before the stop; it may end earlier, by what is measured.

    >>> most_rounds(stopping.units(30) | stopping.fraction(0.15), Trace(100)), most_rounds(stopping.never(), Trace(100))
    (15, 100)
    """
    parts = [most_rounds(part, trace) for part in stop.parts()]
    if parts:
        return max(parts) if isinstance(stop, stopping.all_of) else min(parts)
    if isinstance(stop, stopping.units):
        return min(stop.n, trace.removable)
    if isinstance(stop, stopping.fraction):
        return min(math.ceil(stop.f * trace.unit_count), trace.removable)
    return trace.removable


def described(step: Step, report: Mapping[str, Any]) -> str:
    """A step in words.

    >>> described(Step(2, "fc1:3", 12.25, 0.5, {"accuracy": 0.9}), {"evaluations": 1500, "exact_evaluations": 6000})
    'fc1:3: error 12.25, accuracy 0.9000, 1,500 evaluations (75% saved)'
    """
    words = [f"{step.unit or 'start'}: error {step.error:.4g}"]
    words += [f"{name} {value:.4f}" for name, value in step.metrics.items()]
    if whole := report.get("exact_evaluations", 0):
        made = report["evaluations"] + report.get("audit_evaluations", 0)
        words.append(f"{made:,} evaluations ({1 - made / whole:.0%} saved)")
    return ", ".join(words)
