"""Claim 9: what is known of the units early in training, and pruning in the middle at equal compute."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from secateur import metrics, stopping, surgery, zoo
from secateur.criteria import Oracle
from secateur.data import Split
from secateur.loop import remove_units
from secateur.studies.claims.curves import order, prune
from secateur.studies.claims.networks import Effort, examples, first, held_out, squared, variant
from secateur.zoo import RECIPES

NAME = "mnist-acc99"
EPOCHS = (1, 2, 5, 10, 20)
EXAMPLES = 1_000
MIDDLE, HALF = 10, 50


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """One training, looked at along its way."""
    splits = examples(NAME)
    ranked = first(splits.rank, effort.most(EXAMPLES))
    kept: dict[int, nn.Module] = {}

    def keep(epoch: int, model: nn.Module) -> None:
        if epoch in EPOCHS:
            kept[epoch] = deepcopy(model)

    whole = variant(NAME, seed, effort, after_epoch=keep)
    last = _first_half(whole, ranked)
    overlap = {epoch: len(_first_half(model, ranked) & last) / len(last) for epoch, model in kept.items()}
    others = held_out(splits)
    small = _without_half(kept.get(MIDDLE, whole), ranked)
    recipe = RECIPES[NAME].training
    rest = 2 * (recipe["epochs"] - MIDDLE)  # a network of half the units, twice the epochs
    zoo.train(small, splits.fit, seed=seed, progress=False, **effort.training(recipe | {"epochs": rest}))
    accuracy = {
        "whole": _accuracy(whole, others),
        "end": _accuracy(_without_half(whole, ranked), others),
        "middle": _accuracy(small, others),
    }
    values = {f"overlap_{epoch}": overlap.get(epoch, float("nan")) for epoch in EPOCHS}
    values |= {f"accuracy_{kind}": value for kind, value in accuracy.items()}
    values["middle_over_end"] = accuracy["middle"] - accuracy["end"]
    values["middle_over_whole"] = accuracy["middle"] - accuracy["whole"]
    return {"values": values, "curves": {"overlap": [values[f"overlap_{epoch}"] for epoch in EPOCHS]}}


def _first_half(model: nn.Module, split: Split) -> set[int]:
    loss = squared(model, split)
    return set(order(loss, prune(loss))[:HALF])


def _without_half(model: nn.Module, split: Split) -> nn.Module:
    loss = squared(model, split)
    trace = remove_units(loss, Oracle(), stopping.units(HALF))
    return surgery.cut(model, trace.removed, split.x[:2])


def _accuracy(model: nn.Module, split: Split) -> float:
    with torch.no_grad():
        return metrics.accuracy(model.eval()(split.x), split.y)
