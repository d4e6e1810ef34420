"""Claim 7: second order in ReLU networks, with and without softplus standing in while scoring."""

from __future__ import annotations

from typing import Any

from secateur.studies.claims.curves import reach
from secateur.studies.claims.networks import Effort, examples, first, network, squared
from secateur.studies.work import criterion

NETWORKS = {"mnist": "mnist-acc99", "diamond": "diamond"}
STAND_IN = "taylor2_softplus(10)"
EXAMPLES = 1_000


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Each network with ReLU and with sigmoids."""
    values: dict[str, float] = {}
    for short, name in NETWORKS.items():
        ranked = first(examples(name).rank, effort.most(EXAMPLES))
        for activation, recipe in (("sigmoid", name), ("relu", f"{name}-relu")):
            loss = squared(network(recipe, seed, effort), ranked)
            most = max(reach(loss, "oracle"), 1)
            values[f"most_{activation}_{short}"] = most / len(loss.units)
            values[f"reach_{activation}_{short}"] = reach(loss, "taylor2") / most
            values[f"first_{activation}_{short}"] = reach(loss, "taylor1") / most
            if activation == "relu":
                values[f"stand_in_{short}"] = reach(loss, criterion(STAND_IN, seed)) / most
        values[f"loss_{short}"] = values[f"reach_sigmoid_{short}"] - values[f"reach_relu_{short}"]
        values[f"softplus_{short}"] = values[f"stand_in_{short}"] - values[f"reach_relu_{short}"]
    return {"values": values, "curves": {}}
