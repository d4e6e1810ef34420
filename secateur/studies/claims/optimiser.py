"""Beside claim 2: how far the orders of Taylor's series get in the same networks, trained by two methods."""

from __future__ import annotations

from statistics import mean
from typing import Any

from secateur.studies.claims.choice import EXAMPLES, ORDERS
from secateur.studies.claims.curves import reach
from secateur.studies.claims.networks import Effort, examples, first, network, squared

NETWORKS = ("diamond", "rshape", "mnist-acc99", "mnist-deep")
METHODS = {"adam": "", "lbfgs": "-lbfgs"}


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Reach by network and method, and its mean over the networks."""
    values: dict[str, float] = {}
    for method, suffix in METHODS.items():
        for name in NETWORKS:
            ranked = first(examples(name).rank, effort.most(EXAMPLES))
            loss = squared(network(name + suffix, seed, effort), ranked)
            most = max(reach(loss, "oracle"), 1)
            values[f"most_{method}_{name}"] = most / len(loss.units)
            values |= {f"reach_{order}_{method}_{name}": reach(loss, order) / most for order in ORDERS}
        for order in ORDERS:
            values[f"reach_{order}_{method}"] = mean(values[f"reach_{order}_{method}_{name}"] for name in NETWORKS)
    return {"values": values, "curves": {}}
