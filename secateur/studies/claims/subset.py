"""Claim 12: greedy removal against the best subset of every size."""

from __future__ import annotations

from typing import Any

from secateur.analysis import best_subset, error_scale
from secateur.studies.claims.curves import RISE
from secateur.studies.claims.networks import Effort, examples, first, network, squared

NETWORKS = {"sgd": "cos-small-sgd", "lbfgs": "cos-small"}
POINTS = 200


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """All 2^20 masks of two networks."""
    values: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for short, name in NETWORKS.items():
        ranked = examples(name).rank
        loss = squared(network(name, seed, effort), first(ranked, effort.most(POINTS)))
        scale = float(error_scale(loss))
        best = best_subset(loss)
        optimum, greedy, swapped = (path / scale for path in (best.optimum, best.greedy(), best.swapped()))
        cheap = optimum - optimum[0] <= RISE
        values[f"excess_{short}"] = float((greedy - optimum)[cheap].max())
        values[f"swapped_{short}"] = float((swapped - optimum)[cheap].max())
        values[f"best_{short}"] = int(cheap.nonzero().max())
        values[f"greedy_{short}"] = int((greedy - greedy[0] <= RISE).nonzero().max())
        curves |= {f"{kind}_{short}": path.tolist() for kind, path in (("best", optimum), ("greedy", greedy))}
        curves[f"swapped_{short}"] = swapped.tolist()
    return {"values": values, "curves": curves}
