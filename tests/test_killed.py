"""A run that is killed at twenty random instants, by every engine, decides as an unbroken one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secateur.oracle import ENGINES

HERE = Path(__file__).parent


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
@pytest.mark.parametrize("engine", ENGINES)
def test_decides_as_an_unbroken_run(engine: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_prune.py"), str(tmp_path), engine, "20"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}:{HERE}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 20
    runs = {folder.name: (folder / "events.jsonl").read_bytes() for folder in tmp_path.iterdir()}
    assert runs["unbroken"].count(b"\n") == 11
    assert len(runs) > 2
    assert set(runs.values()) == {runs["unbroken"]}
