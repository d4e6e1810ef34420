"""What a job does: train the network, prune it by every criterion under every schedule, and record both."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur import criteria, data, metrics, stopping, zoo
from secateur.analysis import gain_curve
from secateur.criteria.surrogate import Surrogate
from secateur.data import Split, Splits
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.studies.jobs import Job
from secateur.studies.plan import SINGLE
from secateur.threads import threads
from secateur.trace import Measured, Trace
from secateur.zoo import TrainingRecord

TRAINING, HELD_OUT, HELD_OUT_ERROR = "accuracy_training", "accuracy_held_out", "error_held_out"
GAIN_TURNS = 10
"""Gain curves are of the unit about to be removed at so many points of a run: the paper's every tenth of 100."""


def do(job: Job) -> dict[str, Any]:
    """The record of a job: plain data, and the same every time (no times, no paths).

    Raises: what training and pruning raise.
    """
    with threads(1):  # so that records agree on machines with other numbers of cores; and jobs run side by side
        model, splits, record = network(job)
        ranking = GatedLoss(model, splits.rank.pair, job.condition.loss, off=job.condition.off)
        held_out = ranking.on(splits.report.pair)
        runs, gains = [], []
        for schedule in job.study.schedules:
            for name in job.study.criteria:
                trace = prune(job, ranking, held_out, name, schedule)
                runs.append({"criterion": name, "schedule": schedule, **columns(trace)})
                if job.seed == 0 and schedule != SINGLE and name in job.study.gains:
                    gains += gain_curves(ranking, trace, name, job.study.effort(job.full).gains)
    return {
        "configuration": job.configuration,
        "training": {
            "metric": record.metric,
            "value": record.values[-1],
            "loss": record.losses[-1],
            "epochs": record.epochs,
            "reached": record.reached,
        },
        "examples": {"rank": len(splits.rank), "report": len(splits.report)},
        "layers": [{"layer": site.layer, "units": len(site.units)} for site in ranking.units.sites],
        "runs": runs,
        "gains": gains,
    }


def network(job: Job) -> tuple[nn.Module, Splits, TrainingRecord]:
    """The trained network and its data, both as the effort and the condition want them."""
    effort, condition = job.study.effort(job.full), job.condition
    recipe = zoo.RECIPES[condition.recipe]
    splits = data.load(recipe.data, **(recipe.data_options | dict(effort.data)))
    if condition.checkpoint is None:
        found = zoo.trained(condition.recipe, seed=job.seed, progress=False, training=effort.training)
        model, record = found.model, found.record
    else:
        model = zoo.untrained(condition.recipe, job.seed)
        record = train_until(model, splits.fit, condition.checkpoint, job.seed, recipe.training | dict(effort.training))
    some = slice(effort.examples)
    fewer = (Split(part.x[some], part.y[some]) for part in (splits.rank, splits.stop, splits.report))
    return model, Splits(splits.fit, *fewer), record


class _LongEnough(Exception):
    """Ends a training from within."""


def train_until(model: nn.Module, fit: Split, epoch: int, seed: int, training: dict[str, Any]) -> TrainingRecord:
    """Train as the recipe does, learning rates and all, but leave after this epoch."""
    whole = {"epochs": training.get("epochs", 20)}
    seen: dict[str, float] = {}

    def leave(now: int, trained: nn.Module) -> None:
        if now == epoch:
            with torch.no_grad():
                seen["value"] = metrics.accuracy(trained(fit.x), fit.y)
            raise _LongEnough

    try:
        return zoo.train(model, fit, seed=seed, progress=False, after_epoch=leave, **(training | whole))
    except _LongEnough:
        model.eval()
        return TrainingRecord("accuracy", (float("nan"),) * epoch, (seen["value"],) * epoch, False)


def prune(job: Job, ranking: GatedLoss, held_out: GatedLoss, name: str, schedule: str) -> Trace:
    """Remove every unit, and measure on both sets after each."""

    def measure(gates: Tensor) -> Measured:
        error, outputs = ranking.measure(gates)
        other_error, other = held_out.measure(gates)
        found = {HELD_OUT_ERROR: float(other_error)}
        if job.study.classes:
            found[TRAINING] = metrics.accuracy(outputs, ranking.targets)
            found[HELD_OUT] = metrics.accuracy(other, held_out.targets)
        return Measured(error=float(error), metrics=found)

    every = None if schedule == SINGLE else job.study.effort(job.full).rerank_every
    return remove_units(
        ranking, criterion(name, job.seed), stopping.never(), every, min_units_per_site=0, measure=measure
    )


def criterion(name: str, seed: int) -> criteria.Criterion:
    """The criterion of that name; "taylor2_softplus(10)" is the registered one with another sharpness."""
    head, bracket, sharpness = name.partition("(")
    found = criteria.resolve(head, seed=seed)
    if bracket and isinstance(found, Surrogate):
        return Surrogate(found.criterion, float(sharpness.removesuffix(")")))
    return found


def columns(trace: Trace) -> dict[str, Any]:
    """A trace as lists, step 0 first: what was removed, and what was measured."""
    names = list(trace.steps[0].metrics)
    return {
        "removed": list(trace.removed),
        "score": [step.score for step in trace.steps[1:]],
        "error": [step.error for step in trace.steps],
        "metrics": {name: [step.metrics[name] for step in trace.steps] for name in names},
    }


def gain_curves(loss: GatedLoss, trace: Trace, name: str, points: int) -> list[dict[str, Any]]:
    """E while the output of the unit about to be removed is multiplied by 0 to 10, at every tenth of the run."""
    total, found = len(loss.units), []
    gains = np.linspace(0.0, 10.0, points).tolist()
    for step in range(0, total, max(1, total // GAIN_TURNS)):
        off = set(loss.units.positions(trace.removed[:step]))
        alive = torch.tensor([unit for unit in range(total) if unit not in off])
        errors = gain_curve(loss, trace.removed[step], gains, alive).tolist()
        found.append({"criterion": name, "step": step, "unit": trace.removed[step], "gains": gains, "errors": errors})
    return found
