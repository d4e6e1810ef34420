"""secateur report: the page of a run, from its directory alone."""

from __future__ import annotations

from pathlib import Path

from secateur import stopping
from secateur.cli import show
from secateur.cli.app import DONE
from secateur.cli.options import PLAINLY, OutputOptions
from secateur.errors import SecateurError
from secateur.rundir import RunDirectory


def report(
    run: Path,
    *others: Path,
    stop: str | None = None,
    out: Path | None = None,
    output: OutputOptions = PLAINLY,
) -> int:
    """Make the report of a run again, from its directory alone.

    What needs the network, its latency and gain curves, is not in it: `secateur prune --resume` writes a full one.

    Parameters
    ----------
    run
        A run directory, finished or not.
    others
        Other runs, to be drawn beside it.
    stop
        Show what the run would have handed back under another stop, such as 'metric_drop(accuracy, 0.05)'.
    out
        Where to write the page; by default report.html in the run directory.
    """
    held = RunDirectory.read(run)
    wanted = stopping.parse(stop) if stop is not None else recorded_stop(held)
    path = page(run, wanted, run / "report.html" if out is None else out, others)
    step, reason = held.result(wanted)
    if output.json:
        show.document({"command": "report", "report": str(path), "run": str(run), "result_step": step.step,
                       "reason": {"kind": reason.kind, "text": reason.text}})  # fmt: skip
    elif not output.quiet:
        show.text(f"{path}: {step.step:,} of {held.unit_count:,} units removed ({reason.text}).")
    return DONE


def page(run: Path, stop: stopping.Stop, path: Path, others: tuple[Path, ...] = ()) -> Path:
    """Write the report of a run directory, with the steps of others beside."""
    from secateur.report import ReportData, write_report

    held = RunDirectory.read(run)
    step, reason = held.result(stop)
    configuration = {**held.configuration, "stop": str(stop)}
    labels = [_label(held, run)]
    compared = []
    for other in others:
        beside = RunDirectory.read(other)
        label = _label(beside, other)
        labels.append(label if label not in labels else f"{label}: {other.name}")
        compared.append((labels[-1], beside.steps))
    refused = (configuration.get("info") or {}).get("refused") or []
    return write_report(
        path,
        ReportData(
            configuration,
            held.steps,
            step.step,
            str(reason),
            str(configuration.get("network", "")),
            refused=refused,
            others=compared,
        ),
    )


def _label(held: RunDirectory, run: Path) -> str:
    every = held.configuration.get("rerank_every", 1)
    how = "" if every == 1 else " (ranked once)" if every is None else f" (re-ranked every {every})"
    return f"{held.configuration.get('criterion', run.name)}{how}"


def recorded_stop(held: RunDirectory) -> stopping.Stop:
    """The stop of the run; one of the user's own cannot be read again, and what was measured then is the result."""
    try:
        return stopping.parse(str(held.configuration.get("stop", "never()")))
    except SecateurError as error:
        show.line(f"warning: the stop of the run is unknown ({error}); its last step is taken for the result")
        return stopping.never()
