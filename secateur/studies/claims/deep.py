"""Claims 1 and 6: two hidden layers. What is free, and which layer loses its units first."""

from __future__ import annotations

from typing import Any

from secateur import criteria, stopping
from secateur.analysis import units_by_layer
from secateur.loop import remove_units
from secateur.studies.claims.curves import prune
from secateur.studies.claims.networks import Effort, examples, first, held_out, network, squared
from secateur.studies.claims.training import damage

FIRST = 30
"""Removals after which the layers are compared."""


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """The deep network, its flat twin of the same seed, and three criteria."""
    free, values, curves = {}, {}, {}
    for kind, name in (("deep", "mnist-deep"), ("flat", "mnist-acc99")):
        splits = examples(name)
        model = network(name, seed, effort)
        loss, other = squared(model, first(splits.rank, effort.most(5_000))), squared(model, held_out(splits))
        trace = prune(loss, "oracle", other)
        free[kind] = damage(trace, other)
        if kind == "flat":
            continue
        values |= free[kind]
        runs = {"oracle": trace} | {
            criterion: remove_units(
                loss, criteria.resolve(criterion), stopping.units(FIRST), rerank_every=1, min_units_per_site=0
            )
            for criterion in ("taylor1", "taylor2_paper")
        }
        for criterion, run in runs.items():
            left = units_by_layer(run, loss.units).left
            gone = left[0] - left
            values[f"deepest_{criterion}"] = float(gone[FIRST, -1]) / FIRST
            values[f"preference_{criterion}"] = abs(values[f"deepest_{criterion}"] - 0.5)
            curves[criterion] = (gone[: FIRST + 1, -1]).double().tolist()
    return {"values": values | {"free_over_flat": free["deep"]["free"] - free["flat"]["free"]}, "curves": curves}
