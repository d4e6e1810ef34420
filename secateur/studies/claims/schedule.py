"""Claim 8: ranked once against ranked again after every removal."""

from __future__ import annotations

from typing import Any

from secateur.studies.claims.curves import before_fall, column, prune
from secateur.studies.claims.networks import Effort, examples, first, network, squared

CRITERIA = ("oracle", "taylor1", "taylor2_paper")
REMOVED, POINT = 20, 0.01


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Three criteria under both schedules."""
    loss = squared(network("mnist-acc99", seed, effort), first(examples("mnist-acc99").rank, effort.most(5_000)))
    values: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for name in CRITERIA:
        for schedule, every in (("once", None), ("again", 1)):
            curves[f"{name}_{schedule}"] = accuracy = column(prune(loss, name, every=every), "accuracy")
            values[f"at_20_{name}_{schedule}"] = accuracy[REMOVED]
            values[f"share_{name}_{schedule}"] = before_fall(accuracy, POINT) / len(loss.units)
        values[f"gain_{name}"] = values[f"share_{name}_again"] - values[f"share_{name}_once"]
    once = [values[f"at_20_{name}_once"] for name in CRITERIA]
    return {"values": values | {"spread_once": max(once) - min(once)}, "curves": curves}
