"""How much a process grows while it prunes under `max_memory`, beside the network and its data.

    python benchmarks/memory.py [--network lenet-300-100] [--examples 60000] [--max-memory 256MB] [--engine exact]

Prints JSON, bytes. First a run on 600 of the examples warms up (imports, compiled loops, thread pools); then the peak
of the resident memory is reset, and a score of every unit and some rounds of a run are made on all examples. Random
images and weights serve: the arithmetic is the same. Linux only, for it reads and resets /proc/self.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
from pathlib import Path

import torch

import secateur as sc
from secateur.gated.memory import memory_size
from secateur.zoo.recipes import recipe, untrained

SHAPES = {"lenet-300-100": (784,), "lenet-5": (1, 28, 28), "resnet-8": (1, 28, 28)}


def resident(key: str) -> int:
    """VmRSS, what is resident now, or VmHWM, the most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def work(model: torch.nn.Module, data: tuple[torch.Tensor, torch.Tensor], rounds: int, options: dict) -> None:
    sc.score(model, data, **options)
    gc.collect()  # a captured graph refers to itself: only the collector ends it, and its caches
    sc.prune(model, data, stop=sc.stop.units(rounds), progress=False, **options)


def measure(network: str, examples: int, limit: str, engine: str, rounds: int) -> dict:
    torch.manual_seed(0)
    model = untrained(network)
    data = torch.rand(examples, *SHAPES[network]), torch.randint(10, (examples,))
    options = {"loss": recipe(network).training["loss"], "engine": engine, "max_memory": limit}
    work(model, (data[0][:600], data[1][:600]), 1, options)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    work(model, data, rounds, options)
    growth, allowed = resident("VmHWM") - before, memory_size(limit)
    return {
        "network": network,
        "examples": examples,
        "engine": engine,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "before": before,
        "growth": growth,
        "max_memory": allowed,
        "growth / max_memory": growth / allowed if allowed else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="lenet-300-100", choices=list(SHAPES))
    parser.add_argument("--examples", type=int, default=60000)
    parser.add_argument("--max-memory", default="256MB")
    parser.add_argument("--engine", default="exact")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = measure(options.network, options.examples, options.max_memory, options.engine, options.rounds)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
