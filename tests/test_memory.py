"""max_memory: what is read from it, that it is kept, and that it decides nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cases import BY_NAME, gated

import secateur as sc
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.gated.memory import CACHE, COPIES, OVERHEAD, WORKING_SET, Memory, memory_size

ROOT = Path(__file__).parents[1]
CONV = BY_NAME["conv"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [("256MB", 256_000_000), ("1 GiB", 1 << 30), ("1.5kb", 1500), ("7", 7), ("7 B", 7), (4096, 4096), (None, None)],
)
def test_sizes(size: int | str | None, expected: int | None) -> None:
    assert memory_size(size) == expected


@pytest.mark.parametrize("size", ["", "MB", "12 apples", "-1MB", "0", 0, -5, True, "1e9", "nan"])
def test_refuses_what_is_no_size(size: int | str) -> None:
    with pytest.raises(OptionError, match="expected a number of bytes, or a text such as '256MB'"):
        GatedLoss(CONV.model(), CONV.data(), CONV.loss, max_memory=size)


def test_half_is_for_caches_and_the_rest_for_candidates() -> None:
    loss = gated(CONV)
    graph = loss.network.graph
    assert Memory.of(None, graph, loss.network.readings, 10, torch.float64) == Memory(WORKING_SET, CACHE)
    assert Memory.of(1 << 40, graph, loss.network.readings, 10, torch.float64) == Memory(
        WORKING_SET, ((1 << 40) - OVERHEAD) // 2
    )
    small = Memory.of(10**6 + OVERHEAD, graph, loss.network.readings, 10, torch.float64)
    assert small.cache == 500_000
    assert 0 < small.working_set * COPIES * 8 < 500_000
    assert small.at_once(small.working_set // 3) == 3
    assert small.at_once(10**12) == 1


def test_too_little_for_one_candidate_says_how_much_it_takes() -> None:
    with pytest.raises(
        OptionError, match=r"max_memory is 1,000 bytes; one candidate on a tile of 10 .* needs [\d,]+\."
    ):
        GatedLoss(CONV.model(), CONV.data(), CONV.loss, max_memory=1000)
    try:
        GatedLoss(CONV.model(), CONV.data(), CONV.loss, max_memory=1000)
    except OptionError as error:
        enough = str(error).split("needs ")[1].split(".")[0]
    assert GatedLoss(CONV.model(), CONV.data(), CONV.loss, max_memory=int(enough.replace(",", "")))


def test_the_least_memory_decides_as_the_most() -> None:
    def removed(limit: int | None) -> list[str]:
        data = CONV.data()
        found = sc.prune(CONV.model(), data, loss=CONV.loss, max_memory=limit, metrics=(), progress=False)
        return [unit.name for unit in found.removed]

    assert removed(OVERHEAD + 800_000) == removed(None) != []


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak can be reset on Linux only")
def test_the_process_grows_by_no_more() -> None:
    """Values before the first gates alone would be 72 MB here."""
    options = ["--examples", "60000", "--max-memory", "72MB", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "memory.py"), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["max_memory"] == 72_000_000
    assert 0 < found["growth"] <= found["max_memory"]
