"""secateur prune: the run, its figures, its report and its bundle."""

from __future__ import annotations

import json as json_module
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from secateur import stopping
from secateur.cli import inputs, show
from secateur.cli.app import DONE, UNMET
from secateur.cli.options import (
    BY_LOSS,
    BY_ORACLE,
    PLAINLY,
    RUN,
    ErrorOptions,
    Flag,
    NetworkOptions,
    OutputOptions,
    RankingOptions,
    Several,
    names,
)
from secateur.errors import UnitError
from secateur.trace import Trace

if TYPE_CHECKING:
    from secateur.api import Result


@Parameter(name="*", group=RUN)
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How long units are removed, what is measured, and where it is written."""

    stop: str = "never()"
    """When to stop: units(n), fraction(f), metric_drop(name, drop), certified_drop(name, drop), error_rise(relative=r),
    parameters(n), bytes(n), flops(n) or never(), joined with | (either) and & (both), as in
    'metric_drop(accuracy, 0.01) | fraction(0.8)'. Drops are absolute: 0.01 of accuracy is one point. certified_drop
    ends before the drop is no longer below that with 95% confidence; it needs --validation."""

    rerank_every: int | Literal["none"] = 1
    """Rank again after so many removals; none ranks once (the paper's Algorithm I)."""

    validation: str | None = None
    """The examples that metrics are measured on: as --data; of a data set the stop split, which is taken by itself if
    --data names one. Without it metrics are measured on the examples that rank the units."""

    metrics: Several = None
    """What to measure after each removal: accuracy, error, explained ..., on the validation examples; scored_accuracy
    and the like on those that rank. By default what the stop watches, and accuracy for classes."""

    min_units_per_site: int = 1
    """How many units every site keeps. With 0 whole layers may go; then no network is cut, and only the trace is
    written."""

    out: Path | None = None
    """The run directory: trace, figures, report.html, and the pruned network in bundle/. Without it nothing is
    written."""

    resume: Flag = False
    """Go on with the run in --out, which may have been killed at any instant, or is to have a later stop."""


TO_THE_END = RunOptions()


def prune(
    network: NetworkOptions,
    *,
    error: ErrorOptions = BY_LOSS,
    ranking: RankingOptions = BY_ORACLE,
    run: RunOptions = TO_THE_END,
    output: OutputOptions = PLAINLY,
) -> int:
    """Remove the least useful units, one by one, until a stop; write the run, a report and a bundle."""
    stop = stopping.parse(run.stop)
    with show.results_only():
        from secateur.api import prune as prune_network

        model = inputs.network(network)
        data = inputs.data(network, model)
        try:
            result = prune_network(
                model,
                data,
                loss=inputs.loss(error.loss),
                criterion=ranking.criterion,
                engine=ranking.engine,
                rerank_every=None if run.rerank_every == "none" else run.rerank_every,
                off=error.off,
                stop=stop,
                validation=inputs.validation(run.validation, network, model),
                metrics=names(run.metrics),
                out=run.out,
                resume=run.resume,
                min_units_per_site=run.min_units_per_site,
                tile=error.tile,
                max_memory=error.max_memory,
                device=network.device,
                seed=ranking.seed,
                progress=not output.quiet,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interrupted(run.out)) from None
        first = result.loss.executor.rank == 0
        files = _write(result, run.out) if first and run.out is not None else {}
    unmet = _unmet(stop, result.trace)
    if output.json:
        show.document(_record(result, unmet, files))
    elif not output.quiet:
        _summary(result, files)
    for goal in unmet:
        show.line(f"the goal cannot be met: {goal}")
    return UNMET if unmet else DONE


def _interrupted(out: Path | None) -> str:
    if out is None:
        return "interrupted; nothing was written. With --out a run can be interrupted and resumed."
    return f"interrupted; {out} holds what was done. Go on with: {_again()}"


def _again() -> str:
    words = ["secateur", *(word for word in sys.argv[1:] if word != "--resume"), "--resume"]
    return shlex.join(words)


def _unmet(stop: stopping.Stop, trace: Trace) -> list[str]:
    """The goals that the result does not meet: sizes, and any goal that the run had no units left for."""
    unmet = stop.unmet(trace)
    if not unmet and trace.result(stop)[1].kind == "exhausted" and _has_goal(stop):
        unmet = [f"{stop.describe()}: no unit is left that may be removed, after {len(trace.removed)}"]
    return unmet


def _has_goal(stop: stopping.Stop) -> bool:
    """Whether the stop asks for something; a run that only must not violate a limit, or never stops, may end."""
    if stop.parts():
        return any(_has_goal(part) for part in stop.parts())
    return not isinstance(stop, stopping.never | stopping.metric_drop | stopping.certified_drop | stopping.error_rise)


def _write(result: Result, out: Path) -> dict[str, str]:
    """Everything that people look at, into the run directory; where each is."""
    from secateur.cli.report import page
    from secateur.plots import SiteUnits, draw_sites, save

    files = {"run": out, "trace": out / "trace.csv"}
    result.trace.to_csv(files["trace"])
    curves = result.plot()
    sites = [SiteUnits(site.layer, [result.units[u].name for u in site.units]) for site in result.units.sites]
    strips = (
        draw_sites(result.trace.steps, sites, result_step=result.step.step) if len(result.trace.steps) > 1 else None
    )
    for suffix in ("png", "svg"):
        files[f"curves.{suffix}"] = save(curves, out / f"curves.{suffix}")
        if strips is not None:
            files[f"sites.{suffix}"] = save(strips, out / f"sites.{suffix}")
    try:
        _ = result.model
    except UnitError as error:  # a site without units cannot be cut; its trace and figures are what was asked for
        show.line(f"no bundle: {error}")
        files["report"] = page(out, result.stop, out / "report.html")
    else:
        files["report"] = result.report()
        files["bundle"] = result.save(out / "bundle", report=files["report"])
    return {name: str(path) for name, path in files.items()}


def _record(result: Result, unmet: list[str], files: dict[str, str]) -> dict[str, Any]:
    before, after = (json_module.loads(step.to_json()) for step in (result.trace.steps[0], result.step))
    told = ("criterion", "engine", "rerank_every", "off", "loss", "examples", "validation", "seed", "tile", "device")
    return {
        "command": "prune",
        "network": result.network,
        "configuration": {key: result.configuration[key] for key in told},
        "stop": str(result.stop),
        "reason": {"kind": result.reason.kind, "text": result.reason.text},
        "unmet": unmet,
        "units": {
            "before": len(result.units),
            "removed": result.step.step,
            "after": len(result.units) - result.step.step,
        },
        "before": before,
        "after": after,
        "removed": [unit.name for unit in result.removed],
        "refused": [str(refusal) for refusal in result.units.refused],
        "files": files,
    }


def _summary(result: Result, files: dict[str, str]) -> None:
    before, after, total = result.trace.steps[0], result.step, len(result.units)
    rows = [("units", total, total - after.step)]
    rows += [(name, getattr(before, field), getattr(after, field)) for name, field in
             (("parameters", "params"), ("bytes", "bytes"), ("FLOPs for one example", "flops"))]  # fmt: skip
    table = [[name, show.number(old), show.number(new), _share(old, new)] for name, old, new in rows]
    table.append(["error", show.number(before.error), show.number(after.error), _share(before.error, after.error)])
    table += [
        [name, show.number(value), show.number(after.metrics.get(name)), ""] for name, value in before.metrics.items()
    ]
    show.text(f"{result.network}: {after.step:,} of {total:,} units removed ({result.reason.text}).")
    show.table(["", "before", "after", "left"], table)
    where = {"report": "report", "bundle": "the pruned network", "run": "everything"}
    for key, words in where.items():
        if key in files:
            show.text(f"{words:>18}: {files[key]}")
    if not files:
        show.text("Nothing was written: pass --out for the network, its report and its trace.")


def _share(old: float, new: float) -> str:
    return f"{100 * new / old:.1f}%" if old else ""
