"""What every test shares: threads, seeds, a cache of its own, and skips for what a machine may lack.

Shapes are checked in every call by the option `--jaxtyping-packages` (pyproject.toml), not here: it has to act before
secateur is first imported, also when a single module's doctests are run.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Before torch is imported: with more threads than cores, two test processes take longer than one.
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(workers)))

hypothesis.settings.register_profile("secateur", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("secateur")


def pytest_configure(config: pytest.Config) -> None:
    """Give the whole session an empty cache. xdist's workers inherit it, so that a network is trained only once."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        cache = tempfile.mkdtemp(prefix="secateur-cache-")
        os.environ["SECATEUR_CACHE"] = cache
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import numpy as np
    import torch

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - scikit-learn draws from it
    torch.manual_seed(0)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for one test, for those that look at the cache itself."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SECATEUR_CACHE", str(cache))
    return cache


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No shape checks: for tests of secateur's own errors, which jaxtyping's would forestall."""
    was = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", was)


@pytest.fixture
def chromium() -> str:
    """The path of a browser; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no chromium on this machine")


@pytest.fixture
def cuda() -> str:
    """The device "cuda"; skips where there is none."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return "cuda"
