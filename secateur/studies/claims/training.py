"""Claims 1 and 4: what is free, and what gets better, in networks trained well and trained badly in three ways."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from secateur.analysis import free
from secateur.data import Split
from secateur.gated import GatedLoss
from secateur.studies.claims.curves import before_fall, column, last_within, prune
from secateur.studies.claims.networks import Effort, examples, first, held_out, network, squared, variant
from secateur.trace import Trace

NAME = "mnist-acc99"
DROP = 0.01
NOISE, DIGIT = 0.3, 0
RAW_TRAINING = {"optimizer": "sgd", "learning_rate": 6e-4, "batch_size": 100, "epochs": 12, "weight_decay": 0.0}
"""As the paper's one-against-rest networks of the zoo, 12 times the epochs for a twelfth of the digits."""


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Four networks from one seed."""
    values: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for kind in ("well", "early", "raw", "noise"):
        model, ranked, others = _trained(kind, seed, effort)
        ranking, other = squared(model, ranked), squared(model, others)
        trace = prune(ranking, "oracle", other)
        found = damage(trace, other)
        values |= {f"{name}_{kind}": value for name, value in found.items()}
        curves[kind] = [error / trace.steps[0].metrics["other_error"] for error in column(trace, "other_error")]
        curves[f"accuracy_{kind}"] = column(trace, "other_accuracy")
    bad = sum(values[f"improves_{kind}"] for kind in ("early", "raw", "noise")) / 3
    return {"values": values | {"bad_over_well": bad - values["improves_well"]}, "curves": curves}


def damage(trace: Trace, other: GatedLoss) -> dict[str, float]:
    """What a run costs, on the ranking examples and on others: shares of the units, and relative changes of E."""
    units = trace.unit_count
    error, held = column(trace, "error"), column(trace, "other_error")
    best = error.index(min(error))
    accuracy = column(trace, "accuracy")
    at_40 = round(0.4 * units)
    return {
        "free": free(trace, other, drop=DROP).removed / units,
        "free_training": before_fall(accuracy, DROP) / units,
        "improves": 1 - held[best] / held[0],
        "best": best / units,
        "returns": last_within(held, held[0]) / units,
        "accuracy_start": trace.steps[0].metrics["other_accuracy"],
        "accuracy_training_start": accuracy[0],
        "fall_at_40": accuracy[0] - accuracy[at_40],
        "growth_at_40": error[at_40] / error[0],
    }


def _trained(kind: str, seed: int, effort: Effort) -> tuple[nn.Module, Split, Split]:
    """The network, the examples that rank, and those that judge."""
    options = {"flatten": True}
    splits = examples(NAME, **options)
    if kind == "raw":
        fit, ranked, others = (
            Split(part.x * 255, (part.y == DIGIT).long()) for part in (splits.fit, splits.rank, held_out(splits))
        )
        model = variant(
            NAME,
            seed,
            effort,
            fit=fit,
            options={"sizes": (400, 100, 2), "output": "softmax"},
            training=RAW_TRAINING | {"anneal": 0.0},
        )
        return model, first(ranked, effort.most(len(ranked))), others
    if kind == "noise":
        model = variant(NAME, seed, effort, fit=_noisy(splits.fit, seed))
    elif kind == "early":
        model = variant(NAME, seed, effort, training={"epochs": 1, "anneal": 0.0})
    else:
        model = network(NAME, seed, effort)
    return model, first(splits.rank, effort.most(len(splits.rank))), held_out(splits)


def _noisy(split: Split, seed: int) -> Split:
    """The examples with a part of their labels drawn anew."""
    draw = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(split), generator=draw) < NOISE
    return Split(split.x, torch.where(wrong, torch.randint(10, (len(split),), generator=draw), split.y))
