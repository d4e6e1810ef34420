"""Claim 2: how well the orders of Taylor's series estimate, and how well they choose."""

from __future__ import annotations

from statistics import mean
from typing import Any

from torch import Tensor

from secateur.analysis import fidelity
from secateur.gated import GatedLoss
from secateur.ranking import gates_at
from secateur.studies.claims.curves import prune, reach
from secateur.studies.claims.networks import Effort, examples, first, network, squared

NETWORKS = ("cos-small-sgd", "diamond", "rshape", "mnist-acc99")
SHAPES = ("diamond", "rshape")
ORDERS = ("taylor1", "taylor2_paper", "taylor2")
GONE = (0.0, 0.2, 0.4, 0.6)
QUANTITIES = {
    "sign": "sign_agreement",
    "slope": "slope",
    "kendall": "kendall",
    "overlap": "overlap",
    "regret": "regret",
}
EXAMPLES = 1_000


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Four networks; each quantity is its mean over them, and also by network."""
    values: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for name in NETWORKS:
        ranked = examples(name).rank
        loss = squared(network(name, seed, effort), first(ranked, effort.most(EXAMPLES)))
        most = max(reach(loss, "oracle"), 1)
        states = _states(loss)
        for order in ORDERS:
            values[f"reach_{order}_{name}"] = reach(loss, order) / most
            found = fidelity(loss, order, states).summary()
            values |= {f"{short}_{order}_{name}": found[long] for short, long in QUANTITIES.items()}
        values[f"most_{name}"] = most / len(loss.units)
    for order in ORDERS:
        for quantity in ("reach", *QUANTITIES):
            curves[f"{quantity}_{order}"] = [values[f"{quantity}_{order}_{name}"] for name in NETWORKS]
            values[f"{quantity}_{order}"] = mean(curves[f"{quantity}_{order}"])
        values[f"reach_shapes_{order}"] = mean(values[f"reach_{order}_{name}"] for name in SHAPES)
    values["second_beats_first"] = values["reach_taylor2_paper"] - values["reach_taylor1"]
    return {"values": values, "curves": curves}


def _states(loss: GatedLoss) -> list[Tensor]:
    """The gates of the oracle's run with these shares of the units gone."""
    trace = prune(loss)
    return [gates_at(loss.units, trace, round(share * len(loss.units))) for share in GONE]
