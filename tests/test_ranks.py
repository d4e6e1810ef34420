"""Several processes: the same bits as one, one record, and an end for all when one dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.errors import RankError
from secateur.gated import executor
from secateur.gated.executor import Serial, choose, own_device
from secateur.oracle import ENGINES

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE.parent}:{HERE}"}
Ends = dict[str, list[dict[str, Any]]]


def played(scenario: str, folder: Path) -> Ends:
    script = str(HERE / "ranked_run.py")
    done = subprocess.run(
        [sys.executable, script, str(folder), scenario], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ends: Ends = json.loads(done.stdout)
    assert not [end for ranks in ends.values() for end in ranks if end["late"]]
    return ends


def codes(ends: Ends) -> dict[str, list[int]]:
    return {name: [end["code"] for end in ranks] for name, ranks in ends.items()}


def test_ranks_give_the_bits_of_one_process(tmp_path: Path) -> None:
    ends = played("same", tmp_path)
    assert codes(ends) == {"1": [0], "2": [0, 0], "3": [0, 0, 0]}, ends
    for engine in ENGINES:
        alone = (tmp_path / "1" / engine / "events.jsonl").read_bytes()
        assert alone.count(b"\n") == 11  # 12 units, one of each site stays, and step 0
        for count in "23" if engine == "exact" else "2":
            assert (tmp_path / count / engine / "events.jsonl").read_bytes() == alone, (engine, count)
    alone = (tmp_path / "1" / "0.json").read_text()
    assert all((tmp_path / count / f"{rank}.json").read_text() == alone for count, rank in ("20", "21", "30", "32"))
    asked = json.loads(alone)
    assert asked["losses again"] == asked["examples"]
    assert asked["slope again"] == asked["slope"]
    assert asked["by hand"] == pytest.approx(asked["slope"], rel=1e-5)


def test_a_rank_that_dies_ends_the_run_which_any_number_of_ranks_resumes(tmp_path: Path) -> None:
    ends = played("killed", tmp_path)
    unbroken = (tmp_path / "unbroken" / "events.jsonl").read_bytes()
    assert codes(ends)["unbroken"] == [0]
    survivor, dead = ends["killed"]
    assert (survivor["code"], dead["code"]) == (1, -9)
    assert "RankError: rank 0 of 2 lost another rank" in survivor["said"]
    assert "resume=True" in survivor["said"]
    assert survivor["seconds"] - dead["seconds"] < 30
    for count in (1, 3):
        assert codes(ends)[f"resumed {count}"] == [0] * count, ends
        assert (tmp_path / f"resumed by {count}" / "events.jsonl").read_bytes() == unbroken


def test_what_one_rank_meets_all_tell(tmp_path: Path) -> None:
    ends = played("refused", tmp_path)
    expected = {
        "other_weights": "RankError: the ranks hold different weights",
        "not_finite": "NonFiniteError: the loss of example 6 is NaN",
        "of_two_minds": "RankError: the ranks differ in step 1",
        "there": "holds a run of 1 removals. Pass resume=True",
    }
    for name, message in expected.items():
        assert codes(ends)[name] == [1, 1], name
        assert [message in end["said"] for end in ends[name]] == [True, True], ends[name]


def test_torchrun_prunes_as_one_process_does(tmp_path: Path) -> None:
    """By the command line: one record, one document, one report."""
    script = f"{HERE / 'ranked_run.py'}"
    line = ["-m", "secateur", "prune", "--model", f"{script}:network", "--data", f"{script}:data", "--tile", "4"]
    line += ["--stop", "units(3)", "--json"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = []
    for out, before in (("one", []), ("two", torchrun)):
        command = [sys.executable, *before, *line, "--out", str(tmp_path / out)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["units"]["removed"] == 3
        found.append((tmp_path / out / "events.jsonl").read_bytes())
        assert (tmp_path / out / "bundle" / "plan.json").exists()
    assert found[0] == found[1]


def test_commands_for_one_process_refuse_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur.cli import run

    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(["report", str(tmp_path)]) == 2


def test_a_process_alone() -> None:
    assert choose(torch.device("cpu")) == Serial()
    assert Serial().share(lambda: 3) == 3
    assert Serial().gather(3) == [3]
    assert own_device("cpu") == "cpu"
    assert own_device(None) is None


def test_a_process_group_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(backend: str) -> None:
        raise ValueError("no such host")

    monkeypatch.setattr(executor.dist, "init_process_group", refused)
    for name in executor.LAUNCHED:
        monkeypatch.setenv(name, "2")
    with pytest.raises(RankError, match="can't be made: no such host"):
        choose(torch.device("cpu"))
