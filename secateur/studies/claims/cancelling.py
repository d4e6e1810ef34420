"""Claim 3: roles of the units, and negative interactions, in trained networks and in ones with random features."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from secateur.analysis import ROLES, Thresholds, error_scale, interactions, roles
from secateur.data import Split
from secateur.studies.claims.networks import Effort, examples, first, network, squared, variant

NETWORKS = {"mnist": "mnist-acc99", "cosine": "cos-small-sgd"}
EXAMPLES = {"mnist": 500, "cosine": 1_000}
THRESHOLDS = {"mnist": Thresholds(orders=10, most_sets=10_000, most_members=4), "cosine": Thresholds()}
"""Of 100 units pairs alone are all tried, and larger groups, to 4, sought greedily."""


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Roles in two networks; interactions also in the twin of one whose features are as they were drawn, frozen."""
    values: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for short, name in NETWORKS.items():
        count = effort.most(EXAMPLES[short])
        splits = examples(name)
        ranked = first(splits.rank, count)
        fresh = _fresh(splits.rank, count) if short == "mnist" else first(splits.report, count)
        whole = network(name, seed, effort)
        kinds = {"trained": whole}
        if short == "mnist":
            kinds["frozen"] = variant(name, seed, effort, frozen=True)
        for kind, model in kinds.items():
            for off in ("zero", "mean"):
                values[f"negative_{off}_{kind}_{short}"] = _negative(model, ranked, off)
        found = roles(squared(whole, ranked), squared(whole, ranked, "mean"), fresh.pair, THRESHOLDS[short], seed)
        curves[f"roles_{short}"] = [found.counts[role] / len(found.units) for role in ROLES]
        values |= {f"{role.replace('-', '_')}_{short}": found.counts[role] / len(found.units) for role in ROLES}
    for off in ("zero", "mean"):
        values[f"negative_{off}_over_frozen"] = (
            values[f"negative_{off}_trained_mnist"] - values[f"negative_{off}_frozen_mnist"]
        )
    return {"values": values, "curves": curves}


def _negative(model: nn.Module, split: Split, off: Any) -> float:
    """The share of all pairs whose interaction is below -e, e = 1% of S / K."""
    loss = squared(model, split, off)
    small = 0.01 * float(error_scale(loss)) / len(loss.units)
    found = interactions(loss)
    rows, columns = torch.triu_indices(len(found), len(found), 1)
    return float((found[rows, columns] < -small).double().mean())


def _fresh(split: Split, count: int) -> Split:
    """As many examples after the first."""
    return Split(split.x[count : 2 * count], split.y[count : 2 * count])
