"""One round of the oracle: both engines, and a gradient pass, interleaved in one process.

    python benchmarks/oracle.py [--rounds 5] [--networks mnist-acc99 ...] > oracle.json

Prints JSON: median, least and greatest seconds, ratios of medians, and how far apart the engines' scores lie, in units
of the tolerance in which two evaluations agree. Untrained weights serve: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from secateur.gated import GatedLoss
from secateur.oracle import exact, reference
from secateur.zoo.recipes import recipe, untrained

SHAPES = {
    "mnist-acc99": (400,),
    "mnist-deep": (400,),
    "lenet-300-100": (784,),
    "lenet-5": (1, 28, 28),
    "resnet-8": (1, 28, 28),
}
EXAMPLES = {"lenet-300-100": 2000, "lenet-5": 200, "resnet-8": 100, "mnist-acc99": 5000, "mnist-deep": 5000}


def measure(name: str, rounds: int) -> dict:
    """Seconds of one round over all units of a network, by each engine."""
    torch.manual_seed(0)
    count = EXAMPLES[name]
    x, y = torch.rand(count, *SHAPES[name]), torch.randint(10, (count,))
    loss = GatedLoss(untrained(name), (x, y), recipe(name).training["loss"])
    gates, units = loss.gates(), torch.arange(len(loss.units))
    ways: dict[str, Callable[[], object]] = {
        "exact": lambda: exact(loss, gates, units),
        "reference": lambda: reference(loss, gates, units),
        "gradient": lambda: loss.gradient(gates),
    }
    for way in (ways["exact"], ways["gradient"]):
        way()  # the first call warms up
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    fast, slow = exact(loss, gates, units), reference(loss, gates, units)
    on = float(loss.per_example().abs().sum())
    allowed = loss.tolerance * (2 * on + slow.abs())
    medians = {way: statistics.median(found) for way, found in seconds.items()}
    return {
        "network": name,
        "units": len(units),
        "examples": count,
        "threads": torch.get_num_threads(),
        "seconds": {w: {"median": medians[w], "least": min(s), "greatest": max(s)} for w, s in seconds.items()},
        "reference / exact": medians["reference"] / medians["exact"],
        "exact / gradient": medians["exact"] / medians["gradient"],
        "largest difference / tolerance": float(((fast - slow).abs() / allowed).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    options = parser.parse_args()
    print(json.dumps([measure(name, options.rounds) for name in options.networks], indent=1))


if __name__ == "__main__":
    main()
