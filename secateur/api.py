"""score and prune: what users import."""

from __future__ import annotations

import copy
import hashlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur import criteria, metrics, oracle, stopping
from secateur.analysis import gain_curve
from secateur.costs import Costs, latency
from secateur.errors import DataError, OptionError
from secateur.gated import TILE, GatedLoss, LossFunction, Off
from secateur.io import save_bundle
from secateur.loop import remove_units
from secateur.ranking import removable_count
from secateur.rundir import RunDirectory
from secateur.surgery import cut_network
from secateur.trace import Measured, Reason, Step, Trace
from secateur.types import Unit
from secateur.units import UnitSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secateur.report import ReportData

CriterionName = str | criteria.Criterion
EngineName = str | oracle.Engine | None
MetricName = str | metrics.Metric

SCORED = "scored_"
"""What leads the name of a metric that is measured on the scored examples, whether or not there is a validation set."""


class MeasuredOnScoredExamples(UserWarning):
    """A stop watches a metric, and there is no validation set: it is measured on the examples that rank the units."""


@dataclass(frozen=True)
class Scores:
    """What a criterion says of every unit: `values` (K,) float64, in the order of `units`."""

    values: Float64[Tensor, " units"]
    units: UnitSet


def score(
    model: nn.Module,
    data: Any,
    *,
    loss: str | LossFunction = "cross_entropy",
    criterion: CriterionName = "oracle",
    engine: EngineName = None,
    off: Off = "zero",
    tile: int = TILE,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> Scores:
    """Score every unit of a network: by default the true change of error when it is switched off.

        oracle: score_u = E(1 - e_u) - E(1)

    Shape:
        data: (x, y) tensors or arrays, a Dataset, a DataLoader, or a dict of tensors. Values (K,) float64.
    Units:
        change of the error, summed over examples (magnitude and random: their own); the lowest is removed first.
    Raises:
        ModeError, DataError, NonFiniteError, NondeterministicError, TraceError, NoUnitsError: see GatedLoss.
        UnknownNameError: no criterion, engine or loss of that name. OptionError: an engine for another criterion.
    Source:
        The paper (arXiv 1701.04465), section 2.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> scores = score(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> {unit.name: value for unit, value in zip(scores.units, scores.values.tolist())}
    {'0:0': -1.5, '0:1': -1.5}
    """
    chosen = criteria.resolve(criterion, engine, seed)
    gated = GatedLoss(model, data, loss, off=off, tile=tile, device=device)
    return Scores(chosen(gated, torch.arange(len(gated.units), device=gated.device)).cpu(), gated.units)


@dataclass(frozen=True)
class Result:
    """A finished run: its trace, the step that was kept, and the network that is left.

    `trace.steps` holds every step that was measured; `step` is the last one that the stop let pass, `reason` says why.
    """

    loss: GatedLoss
    trace: Trace
    stop: stopping.Stop
    configuration: Mapping[str, Any]
    path: Path | None = None
    network: str = ""

    @cached_property
    def _end(self) -> tuple[Step, Reason]:
        return self.trace.result(self.stop)

    @property
    def step(self) -> Step:
        """The last step before the first violation of the stop."""
        return self._end[0]

    @property
    def reason(self) -> Reason:
        """Why the run stands where it does."""
        return self._end[1]

    @property
    def removed(self) -> tuple[Unit, ...]:
        """The units that are gone in the result, in order of removal."""
        return tuple(self.loss.units[name] for name in self.trace.removed[: self.step.step])

    @property
    def units(self) -> UnitSet:
        """All units of the untouched network."""
        return self.loss.units

    @cached_property
    def model(self) -> nn.Module:
        """The smaller network: a cut copy of the user's own, verified against the gated one on a tile of the examples.

        Raises: UnitError where all units of a site are gone (min_units_per_site=0 is for experiments with gates only).
        """
        if not self.removed:
            return copy.deepcopy(self.loss.model)
        return cut_network(self.loss.network, self._positions, self._example())

    @property
    def _positions(self) -> list[int]:
        return self.loss.units.positions(self.removed)

    def _example(self, most: int = 64) -> Any:
        examples = self.loss.examples
        rows = [x[:most].to(self.loss.device) for x in examples.inputs]
        return dict(zip(examples.keywords, rows, strict=True)) if examples.keywords else tuple(rows)

    def at(self, stop: stopping.Stop) -> Result:
        """What this run would have handed back under another stop, from the steps that were measured."""
        configuration = {**self.configuration, "stop": str(stop)}
        return Result(self.loss, self.trace, stop, configuration, self.path, self.network)

    def plot(self) -> Figure:
        """Error and metrics against the units removed, the result marked."""
        from secateur.plots import Run, draw_curves

        label = str(self.configuration["criterion"])
        return draw_curves([Run(label, self.trace.steps, len(self.units), self.step.step)])

    def report(
        self, path: str | os.PathLike[str] | None = None, *, others: Sequence[tuple[str, Sequence[Step]]] = ()
    ) -> Path:
        """Write the run as one self-contained page; by default report.html in the run directory.

        `others`: labelled steps of other runs, for comparison in its figures.

        Raises: OptionError without a path for a run that has no directory.
        """
        from secateur.report import write_report

        if path is None:
            if self.path is None:
                raise OptionError('this run has no directory; say where: result.report("report.html")')
            path = self.path / "report.html"
        return write_report(path, self._report_data(others))

    def save(self, path: str | os.PathLike[str], *, report: str | os.PathLike[str] | None = None) -> Path:
        """Write the bundle: plan.json, model.safetensors, model.pt2, load.py and report.html.

        `report`: a page that `Result.report` wrote already, to be copied; by default it is made.

        Raises: BundleError where the folder holds something else.
        """
        import tempfile

        if report is not None:
            return save_bundle(path, self.loss.network, self._positions, self.model, Path(report))
        with tempfile.TemporaryDirectory() as aside:
            page = self.report(Path(aside) / "report.html")
            return save_bundle(path, self.loss.network, self._positions, self.model, page)

    def gain_curves(self, every: int = 10, most: int = 6) -> list[dict[str, Any]]:
        """Gain curves from 0 to 10 of the units about to be removed at every n-th step, as the paper draws them."""
        gains = [*torch.linspace(0, 2, 21).tolist(), *torch.linspace(2.25, 10, 32).tolist()]
        steps = list(range(0, self.step.step, every))
        steps = steps[:: max(1, -(-len(steps) // most))]
        curves = []
        for at in steps:
            gone = set(self.loss.units.positions(self.trace.removed[:at]))
            alive = torch.tensor([u for u in range(len(self.units)) if u not in gone])
            unit = self.trace.removed[at]
            errors = gain_curve(self.loss, unit, gains, alive)
            curves.append({"unit": unit, "gains": gains, "errors": errors.tolist(), "step": at})
        return curves

    def _report_data(self, others: Sequence[tuple[str, Sequence[Step]]]) -> ReportData:
        from secateur.report import ReportData

        small, inputs = self.model, self._example()
        times: dict[str, Any] | None = None
        if not isinstance(inputs, dict):
            before, after = latency([self.loss.model, small], inputs)
            times = {"before": asdict(before), "after": asdict(after)}
            times |= {"batch": len(inputs[0]), "threads": torch.get_num_threads()}
        return ReportData(
            self.configuration,
            self.trace.steps,
            self.step.step,
            str(self.reason),
            self.network,
            times,
            self.gain_curves(),
            [str(refusal) for refusal in self.units.refused],
            others,
        )


def prune(
    model: nn.Module,
    data: Any,
    *,
    loss: str | LossFunction = "cross_entropy",
    criterion: CriterionName = "oracle",
    engine: EngineName = None,
    rerank_every: int | None = 1,
    off: Off = "zero",
    stop: stopping.Stop | None = None,
    validation: Any = None,
    metrics: Sequence[MetricName] | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    min_units_per_site: int = 1,
    tile: int = TILE,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool | Callable[[Step], object] = True,
) -> Result:
    """Remove the least useful unit, measure, and again, until `stop`; then cut the network once, and prove the cut.

        u = argmin over alive u of score(u),   g <- g - e_u

    The network itself is left as it is; `result.model` is the smaller copy. With `out` the run is a directory that
    survives being killed: the same call with resume=True goes on where it stood, with the same decisions.

    Shape:
        data and validation: (x, y) tensors or arrays, a Dataset, a DataLoader, or a dict of tensors.
    Units:
        E is summed over the examples; metrics are measured on the validation set, or else on the scored examples. A
        metric called "scored_accuracy" is the accuracy on the scored examples where there is a validation set too.
    Raises:
        as `score`; RunError: a directory that can't be used. CutMismatch: the cut network is not the gated one.
    Source:
        The paper (arXiv 1701.04465), Algorithm I (rerank_every=None) and Algorithm II (rerank_every=1).

    >>> torch.manual_seed(0) and None
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
    >>> result = prune(model, (torch.randn(64, 2), torch.randint(2, (64,))), stop=stopping.units(3))
    >>> len(result.removed), result.model[0]
    (3, Linear(in_features=2, out_features=5, bias=True))
    """
    stop = stopping.never() if stop is None else stop
    chosen = criteria.resolve(criterion, engine, seed)
    gated = GatedLoss(model, data, loss, off=off, tile=tile, device=device)
    judged = gated if validation is None else gated.on(validation)
    watched = _metrics(metrics, stop, gated, judged)
    if validation is None and any(not name.startswith(SCORED) for name in stop.metrics):
        warnings.warn(
            f"{stop.describe()} is judged on the examples that rank the units, which flatters it; pass validation=",
            MeasuredOnScoredExamples,
            stacklevel=2,
        )
    costs = Costs(gated.network.graph, gated.units, off)

    def measure(gates: Tensor) -> Measured:
        error, scored = gated.measure(gates)
        outputs = {gated: scored, judged: scored if validation is None else judged.outputs(gates)}
        size = costs((gates == 0).cpu())
        found = {name: metric(outputs[on].cpu(), on.targets.cpu()) for name, (metric, on) in watched.items()}
        return Measured(error=float(error), metrics=found, params=size.params, bytes=size.bytes, flops=size.flops)

    configuration = _configuration(
        gated,
        None if validation is None else judged,
        criterion,
        engine,
        rerank_every,
        min_units_per_site,
        watched,
        seed,
    )
    configuration["stop"] = str(stop)
    total, removable = len(gated.units), removable_count(gated.units, min_units_per_site)
    path = None if out is None else Path(out)
    if path is None:
        trace = Trace(total, removable)
    else:
        trace = RunDirectory.open(path, configuration, unit_count=total, removable=removable, resume=resume)
    try:
        with _progress(progress, trace, stop, removable) as advance:
            remove_units(
                gated,
                chosen,
                stop,
                rerank_every,
                min_units_per_site=min_units_per_site,
                measure=measure,
                trace=trace,
                progress=advance,
            )
    finally:
        if isinstance(trace, RunDirectory):
            trace.close()
    result = Result(gated, trace, stop, configuration, path, type(model).__name__)
    if min_units_per_site:
        _ = result.model  # cut and proved now, so that a mismatch does not show only later
    return result


def _metrics(
    wanted: Sequence[MetricName] | None, stop: stopping.Stop, gated: GatedLoss, judged: GatedLoss
) -> dict[str, tuple[metrics.Metric, GatedLoss]]:
    """The metrics by name, and what each is measured on: those asked for, those that the stop watches, accuracy for
    classes where nothing is said."""
    names: list[MetricName] = list(wanted) if wanted is not None else []
    target = judged.examples.target
    if wanted is None and target is not None and not target.is_floating_point() and judged.classes > 1:
        names = ["accuracy"]
    names += [name for name in sorted(stop.metrics) if name not in names]
    found: dict[str, tuple[metrics.Metric, GatedLoss]] = {}
    for wish in names:
        name = wish if isinstance(wish, str) else wish.__name__
        on = gated if name.startswith(SCORED) else judged
        if on.examples.target is None:
            raise DataError(f"the metric {name!r} needs targets; pass (x, y), or a validation set that has them")
        found[name] = metrics.resolve(name.removeprefix(SCORED) if isinstance(wish, str) else wish), on
    return found


def _configuration(
    gated: GatedLoss,
    judged: GatedLoss | None,
    criterion: CriterionName,
    engine: EngineName,
    rerank_every: int | None,
    min_units_per_site: int,
    watched: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """What run.json holds: all that decides, and under "info" what merely tells."""
    if criterion == "oracle" and engine is None:
        engine = "exact"
    return {
        "network": type(gated.model).__name__,
        "weights": weights_digest(gated.model),
        "criterion": _called(criterion),
        "engine": None if engine is None else _called(engine),
        "rerank_every": rerank_every,
        "off": gated.off,
        "loss": _called(gated.loss),
        "min_units_per_site": min_units_per_site,
        "examples": len(gated.examples),
        "data": gated.examples.digest,
        "validation": None if judged is None else {"examples": len(judged.examples), "data": judged.examples.digest},
        "metrics": list(watched),
        "seed": seed,
        "tile": gated.tile,
        "dtype": str(gated.dtype).removeprefix("torch."),
        "device": gated.device.type,
        "threads": torch.get_num_threads(),
        "versions": {"secateur": _version(), "torch": torch.__version__, "python": platform.python_version()},
        "sites": [
            {"layer": site.layer, "kind": site.kind, "units": [gated.units[u].name for u in site.units]}
            for site in gated.units.sites
        ],
        "info": {"refused": [str(refusal) for refusal in gated.units.refused]},
    }


def _called(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__qualname__", None) or repr(value)


def _version() -> str:
    from secateur import __version__

    return __version__


def weights_digest(model: nn.Module) -> str:
    found = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@contextmanager
def _progress(
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
