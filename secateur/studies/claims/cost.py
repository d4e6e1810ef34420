"""Claim 11: the time of brute force beside that of the training. Seconds of the processor, so that what else runs on
the machine counts little; no two runs agree exactly."""

from __future__ import annotations

import time
from typing import Any

from secateur.criteria import Oracle
from secateur.studies.claims.curves import prune
from secateur.studies.claims.networks import Effort, examples, first, network, squared, variant
from secateur.zoo import RECIPES

NAME = "mnist-acc99"
TIMED = 5
"""Epochs: all take the same time."""


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """A training, a whole run by the exact engine, and a round of plain forward passes, in one process."""
    model = network(NAME, seed, effort)
    epochs = TIMED if effort.epochs is None else min(TIMED, effort.epochs)
    variant(NAME, seed, effort, training={"epochs": 1})  # the first training of a process also loads what it needs
    start = time.process_time()
    variant(NAME, seed, effort, training={"epochs": epochs})
    training = (time.process_time() - start) * RECIPES[NAME].training["epochs"] / epochs
    loss = squared(model, first(examples(NAME).rank, effort.most(5_000)))
    units = len(loss.units)
    start = time.process_time()
    prune(loss)
    exact = time.process_time() - start
    start = time.process_time()
    Oracle("reference")(loss, loss.gates().nonzero().flatten())
    evaluations = units * (units + 1) // 2
    naive = (time.process_time() - start) / units * evaluations
    values = {
        "exact": exact / training,
        "naive": naive / training,
        "evaluations": float(evaluations),
        "seconds_training": training,
        "seconds_exact": exact,
        "seconds_naive": naive,
    }
    return {"values": values, "curves": {}}
