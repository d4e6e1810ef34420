"""A bar for people who watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from secateur import stopping
from secateur.trace import Step, Trace


@contextmanager
def progress_bar(
    wanted: bool | Callable[[Step], object], trace: Trace, stop: stopping.Stop, removable: int
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
        most = min([removable, *(part.n for part in stop.parts() if isinstance(part, stopping.units))])
        task = bar.add_task("removing units", total=most, completed=max(len(trace.steps) - 1, 0))

        def advance(step: Step) -> None:
            measured = ", ".join(f"{name} {value:.4f}" for name, value in step.metrics.items())
            bar.update(
                task, completed=step.step, description=f"{step.unit or 'start'}: error {step.error:.4g}, {measured}"
            )

        yield advance
