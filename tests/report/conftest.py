"""Made-up runs that look like real ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from secateur.report import ReportData
from secateur.trace import Step


def made_up_run(sizes: Sequence[int] = (100,), removals: int = 60, seed: int = 0, **options: Any) -> ReportData:
    """A run over sites of these sizes, with a plausible error curve; keywords go to ReportData."""
    source = random.Random(seed)
    sites = [
        {"layer": f"fc{i}", "kind": "neuron", "units": [f"fc{i}:{j}" for j in range(size)]}
        for i, size in enumerate(sizes, start=1)
    ]
    names = [name for site in sites for name in site["units"]]
    source.shuffle(names)
    total = len(names)
    steps = [Step(0, None, 12.0, math.nan, {"accuracy": 0.9912}, 401 * total, 1604 * total, 802 * total)]
    for i, name in enumerate(names[:removals], start=1):
        left = total - i
        error = 12.0 * math.exp(6 * max(0.0, i / total - 0.4)) + source.random() / 10
        accuracy = max(0.1, 0.9912 - 0.3 * max(0.0, i / total - 0.4))
        score = error - steps[-1].error + source.random() / 100
        steps.append(Step(i, name, error, score, {"accuracy": accuracy}, 401 * left, 1604 * left, 802 * left))
    configuration = {
        "criterion": "oracle",
        "engine": "exact",
        "rerank_every": 1,
        "off": "zero",
        "loss": "cross_entropy",
        "stop": "metric_drop('accuracy', 0.01) | fraction(0.8)",
        "units": total,
        "sites": sites,
        "versions": {"secateur": "0.1.0", "torch": "2.13.0"},
        "threads": 2,
        "seed": 0,
        "examples": 5000,
        "validation": 1000,
        "metrics": ["accuracy"],
    }
    options = {"result_step": max(0, min(removals, total) - 1), "reason": "accuracy fell", "network": "LeNet"} | options
    return ReportData(configuration | options.pop("configuration", {}), options.pop("steps", steps), **options)


@pytest.fixture(scope="session")
def run_like() -> Callable[..., ReportData]:
    return made_up_run
