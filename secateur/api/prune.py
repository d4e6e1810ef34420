"""Remove units, one by one, and hand back the smaller network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secateur import criteria, stopping
from secateur import metrics as measures
from secateur.api.configuration import CriterionName, EngineName, MetricName, configuration_of
from secateur.api.progress import progress_bar
from secateur.api.result import Result
from secateur.api.shared import shared
from secateur.costs import Costs
from secateur.errors import DataError, OptionError
from secateur.gated import GatedLoss, LossFunction, Off
from secateur.loop import remove_units
from secateur.ranking import removable_count
from secateur.rundir import RunDirectory
from secateur.trace import Measured, Step, Trace

SCORED = "scored_"
"""What leads the name of a metric that is measured on the scored examples, whether or not there is a validation set."""


class MeasuredOnScoredExamples(UserWarning):
    """A stop watches a metric, and there is no validation set: it is measured on the examples that rank the units."""


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
    tile: int | None = None,
    max_memory: int | str | None = None,
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
    if not isinstance(stop, stopping.Stop):
        raise OptionError(f"stop={stop!r} is no stop; expected sc.stop.fraction(0.8), or sc.stop.parse(...)")
    chosen = criteria.resolve(criterion, engine, seed)
    gated = GatedLoss(model, data, loss, off=off, tile=tile, device=device, max_memory=max_memory)
    judged = gated if validation is None else gated.on(validation)
    _require_untouched_examples(stop, gated, judged)
    watched = _metrics(metrics, stop, gated, judged)
    first = gated.executor.rank == 0
    if first and validation is None and any(not name.startswith(SCORED) for name in stop.metrics):
        warnings.warn(
            f"{stop.describe()} is judged on the examples that rank the units, which flatters it; pass validation=",
            MeasuredOnScoredExamples,
            stacklevel=2,
        )
    configuration = configuration_of(gated, judged, criterion, engine, rerank_every, min_units_per_site, watched, seed)
    configuration["stop"] = str(stop)
    total, removable = len(gated.units), removable_count(gated.units, min_units_per_site)
    path = None if out is None else Path(out)

    def begin() -> AbstractContextManager[Trace]:
        if path is None:
            return nullcontext(Trace(total, removable))
        return RunDirectory.open(path, configuration, unit_count=total, removable=removable, resume=resume)

    with (
        shared(gated.executor, begin) as trace,
        progress_bar(progress if first else False, trace, stop, getattr(chosen, "report", None)) as advance,
    ):
        remove_units(
            gated,
            chosen,
            stop,
            rerank_every,
            min_units_per_site=min_units_per_site,
            measure=_measurer(gated, judged, watched),
            trace=trace,
            progress=advance,
        )
    result = Result(gated.alone(), trace, stop, configuration, path, type(model).__name__)
    if min_units_per_site:
        _ = result.model  # cut and proved now, so that a mismatch does not show only later
    return result


def _measurer(
    gated: GatedLoss, judged: GatedLoss, watched: Mapping[str, tuple[measures.Metric, GatedLoss]]
) -> Callable[[Tensor], Measured]:
    """What every step records of the network under its gates: error, metrics, and what the cut network would cost."""
    costs = Costs(gated.network.graph, gated.units, gated.off)

    def measure(gates: Tensor) -> Measured:
        error, scored = gated.measure(gates)
        outputs = {gated: scored, judged: scored if judged is gated else judged.outputs(gates)}
        size = costs((gates == 0).cpu())
        found = {name: metric(outputs[on].cpu(), on.targets.cpu()) for name, (metric, on) in watched.items()}
        return Measured(error=float(error), metrics=found, params=size.params, bytes=size.bytes, flops=size.flops)

    return measure


def _require_untouched_examples(stop: stopping.Stop, gated: GatedLoss, judged: GatedLoss) -> None:
    """Raises: OptionError for a stop that certifies, where no examples are left for it that rank no unit."""
    if stop.needs_validation and judged.examples.digest == gated.examples.digest:
        given = "no validation set" if judged is gated else "the scored examples again as validation set"
        raise OptionError(
            f"the stop {stop} certifies what it measures, and got {given}; expected examples that rank no unit, since "
            "the removals were chosen to suit those that do. Pass validation=(x, y), or use metric_drop."
        )


def _metrics(
    wanted: Sequence[MetricName] | None, stop: stopping.Stop, gated: GatedLoss, judged: GatedLoss
) -> dict[str, tuple[measures.Metric, GatedLoss]]:
    """The metrics by name, and what each is measured on: those asked for, those that the stop watches, accuracy for
    classes where nothing is said."""
    if isinstance(wanted, str):
        raise OptionError(f"metrics={wanted!r} is one name; expected several: metrics=({wanted!r},)")
    names: list[MetricName] = list(wanted) if wanted is not None else []
    target = judged.examples.target
    if wanted is None and target is not None and not target.is_floating_point() and judged.classes > 1:
        names = ["accuracy"]
    names += [name for name in sorted(stop.metrics) if name not in names]
    found: dict[str, tuple[measures.Metric, GatedLoss]] = {}
    for wish in names:
        name = wish if isinstance(wish, str) else wish.__name__
        on = gated if name.startswith(SCORED) else judged
        if on.examples.target is None:
            raise DataError(f"the metric {name!r} needs targets; pass (x, y), or a validation set that has them")
        plain = name.removeprefix(SCORED)
        if isinstance(wish, str) and measures.is_count(plain):
            found[name] = measures.count_metric(plain, on.outputs().cpu()), on
        else:
            found[name] = measures.resolve(plain if isinstance(wish, str) else wish), on
    return found
