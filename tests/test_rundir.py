"""A run directory: what it holds, whom it refuses, and that being killed at any instant changes nothing."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quadratic import Moody, Quadratic, oracle

from secateur import rundir
from secateur.errors import OptionError, RunError, RunLockedError, RunMismatchError
from secateur.loop import remove_units
from secateur.ranking import removable_count
from secateur.rundir import RunDirectory
from secateur.stopping import Stop, never, units
from secateur.trace import Ranking, Step, Trace

CONFIGURATION = {"criterion": "oracle", "sites": (3, 2), "nested": {"a": 1, "b": None}, "stop": {"stop": "never"}}
START, FIRST = Step(0, None, 1.5, math.nan), Step(1, "fc1:0", 2.0, 0.5)


def opened(path: Path, resume: bool = False, **changes: Any) -> RunDirectory:
    return RunDirectory.open(path, {**CONFIGURATION, **changes}, unit_count=5, removable=3, resume=resume)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "lenet"


@pytest.fixture
def begun(path: Path) -> Path:
    """A run of one removal."""
    with opened(path) as run:
        run.append(START)
        run.append(FIRST)
    return path


def pruned(path: Path, rerank_every: int | None = 1, stop: Stop | None = None, criterion: Any = oracle) -> Trace:
    """A run of the loop in a directory, begun or resumed."""
    loss = Quadratic.random((4, 3), 1)
    free = removable_count(loss.units)
    with RunDirectory.open(path, {"criterion": "oracle"}, unit_count=7, removable=free, resume=True) as run:
        return remove_units(loss, criterion, stop or never(), rerank_every, trace=run)


def contents(path: Path) -> dict[str, bytes]:
    """The files that must not depend on how often a run was interrupted."""
    files = [path / "run.json", path / "events.jsonl", *sorted((path / "scores").iterdir())]
    return {file.name: file.read_bytes() for file in files}


class TestWhatItHolds:
    def test_run_json(self, begun: Path) -> None:
        assert json.loads((begun / "run.json").read_text()) == {
            "format": "secateur run",
            "version": 1,
            "configuration": json.loads(json.dumps(CONFIGURATION)),
            "units": 5,
            "removable": 3,
        }

    def test_events(self, begun: Path) -> None:
        lines = (begun / "events.jsonl").read_text().splitlines()
        assert lines == [START.to_json(), FIRST.to_json()]
        assert json.loads(lines[0])["score"] is None

    def test_nothing_is_left_aside(self, path: Path) -> None:
        pruned(path)
        assert sorted(entry.name for entry in path.iterdir()) == ["events.jsonl", "run.json", "run.lock", "scores"]
        assert sorted(entry.name for entry in (path / "scores").iterdir()) == [f"00000{step}.npz" for step in range(5)]

    def test_scores_come_back_without_pickle(self, path: Path) -> None:
        alive, scores = torch.tensor([0, 2, 4]), torch.tensor([0.1, math.nan, -3.0], dtype=torch.float64)
        with opened(path) as run:
            run.append(START)
            run.keep(Ranking(0, alive, scores, {"seed": 3}))
        with np.load(path / "scores" / "000000.npz", allow_pickle=False) as file:
            assert all(file[name].dtype != object for name in file.files)
        kept = RunDirectory.read(path).ranking(0)
        assert kept is not None
        assert torch.equal(kept.alive, alive)
        assert torch.equal(kept.scores.nan_to_num(7.0), scores.nan_to_num(7.0))
        assert kept.state == {"seed": 3}

    def test_is_on_the_disk_when_append_returns(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        order: list[str] = []
        write, fsync = os.write, os.fsync
        with opened(path) as run:
            monkeypatch.setattr(os, "write", lambda *to: order.append("write") or write(*to))
            monkeypatch.setattr(os, "fsync", lambda *to: order.append("fsync") or fsync(*to))
            run.append(START)
        assert order == ["write", "fsync"]

    def test_read(self, begun: Path) -> None:
        run = RunDirectory.read(begun)
        assert run.removed == ("fc1:0",)
        assert (run.unit_count, run.removable) == (5, 3)
        assert run.configuration["nested"] == {"a": 1, "b": None}

    def test_read_while_another_is_in_it_and_writes_a_line(self, begun: Path) -> None:
        with opened(begun, resume=True), (begun / "events.jsonl").open("a") as file:
            file.write('{"step": 2')
            file.flush()
            before = (begun / "events.jsonl").read_bytes()
            assert len(RunDirectory.read(begun).steps) == 2
            assert (begun / "events.jsonl").read_bytes() == before

    def test_a_loop_in_it_is_the_loop_in_memory(self, path: Path) -> None:
        loss = Quadratic.random((4, 3), 1)
        assert pruned(path).steps[1:] == remove_units(loss, oracle, never()).steps[1:]
        assert RunDirectory.read(path).result(never())[1].kind == "exhausted"


class TestResuming:
    def test_goes_on(self, begun: Path) -> None:
        with opened(begun, resume=True) as run:
            assert run.removed == ("fc1:0",)
            run.append(Step(2, "fc1:1", 2.5, 0.5))
        assert len(RunDirectory.read(begun).steps) == 3

    def test_must_be_asked_for(self, begun: Path) -> None:
        before = contents(begun)
        with pytest.raises(RunError, match=r"1 removals. Pass resume=True"):
            opened(begun)
        assert contents(begun) == before

    def test_of_nothing_begins(self, path: Path) -> None:
        with opened(path, resume=True) as run:
            assert not run.steps

    @pytest.mark.parametrize("resume", [False, True])
    def test_a_run_without_a_step_is_none(self, path: Path, resume: bool) -> None:
        opened(path).close()
        with opened(path, resume=resume, criterion="taylor1") as run:
            assert run.configuration["criterion"] == "taylor1"
        assert RunDirectory.read(path).configuration["criterion"] == "taylor1"

    def test_with_another_configuration_names_the_keys(self, begun: Path) -> None:
        before = contents(begun)
        with pytest.raises(RunMismatchError) as caught:
            opened(begun, resume=True, criterion="taylor1", nested={"a": 2, "b": None}, extra=True)
        assert 'criterion was "oracle", now "taylor1"' in str(caught.value)
        assert "nested.a was 1, now 2" in str(caught.value)
        assert "extra was absent, now true" in str(caught.value)
        assert "nested.b" not in str(caught.value)
        assert contents(begun) == before

    def test_with_other_units(self, begun: Path) -> None:
        with pytest.raises(RunMismatchError, match="units was 5, now 6"):
            RunDirectory.open(begun, CONFIGURATION, unit_count=6, removable=3, resume=True)

    def test_with_another_stop_and_info_records_them(self, begun: Path) -> None:
        with opened(begun, resume=True, stop={"stop": "units", "n": 3}, info={"host": "a"}):
            pass
        configuration = RunDirectory.read(begun).configuration
        assert configuration["stop"] == {"stop": "units", "n": 3}
        assert configuration["info"] == {"host": "a"}

    @pytest.mark.parametrize("rerank_every", [1, 2, 3, None])
    @pytest.mark.parametrize("stateful", [False, True])
    def test_at_every_step_is_the_unbroken_run(self, tmp_path: Path, rerank_every: int | None, stateful: bool) -> None:
        def criterion() -> Any:
            return Moody() if stateful else oracle

        pruned(tmp_path / "whole", rerank_every, criterion=criterion())
        for first in range(6):
            pruned(tmp_path / f"{first}", rerank_every, units(first), criterion())
            pruned(tmp_path / f"{first}", rerank_every, criterion=criterion())
            assert contents(tmp_path / f"{first}") == contents(tmp_path / "whole")


class TestDamage:
    @pytest.mark.parametrize("rerank_every", [1, 3, None])
    @pytest.mark.parametrize("stateful", [False, True])
    @pytest.mark.parametrize(
        "damage", ["gone", "empty", "cut", "flipped", "other step", "other run", "other units", "no state"]
    )
    def test_lost_rankings_are_made_again(
        self, tmp_path: Path, rerank_every: int | None, stateful: bool, damage: str
    ) -> None:
        def criterion() -> Any:
            return Moody() if stateful else oracle

        pruned(tmp_path / "whole", rerank_every, criterion=criterion())
        pruned(tmp_path / "other", rerank_every, units(4), criterion())
        for file in sorted((tmp_path / "other" / "scores").iterdir())[-2:]:
            content = file.read_bytes()
            if damage == "gone":
                file.unlink()
            elif damage == "empty":
                file.write_bytes(b"")
            elif damage == "cut":
                file.write_bytes(content[: len(content) // 2])
            elif damage == "flipped":
                middle = content.index(b"scores.npy") + 60
                file.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])
            else:
                with np.load(file) as arrays:
                    held = dict(arrays)
                held |= {
                    "other step": {"step": np.int64(77)},
                    "other run": {"run": np.array("0" * 64), "scores": -held["scores"]},
                    "other units": {"alive": 7 - held["alive"][::-1], "scores": -held["scores"]},
                    "no state": {"state": np.array("{")},
                }[damage]
                np.savez_compressed(file, **held)
        pruned(tmp_path / "other", rerank_every, criterion=criterion())
        whole, other = contents(tmp_path / "whole"), contents(tmp_path / "other")
        assert other["events.jsonl"] == whole["events.jsonl"]

    def test_a_ranking_under_the_name_of_another_step_is_not_used(self, path: Path) -> None:
        pruned(path)
        (path / "scores" / "000000.npz").rename(path / "scores" / "000001.npz")
        assert RunDirectory.read(path).ranking(1) is None

    def test_rankings_of_another_configuration_are_not_used(self, path: Path) -> None:
        with opened(path) as run:
            run.append(START)
            run.keep(Ranking(0, torch.arange(5), torch.zeros(5, dtype=torch.float64)))
        (path / "events.jsonl").unlink()
        with opened(path, criterion="taylor1") as run:
            assert run.ranking(0) is None

    def test_a_torn_last_line_is_dropped(self, begun: Path) -> None:
        before = (begun / "events.jsonl").read_bytes()
        (begun / "events.jsonl").write_bytes(before + b'{"step": 2, "unit": "fc')
        with opened(begun, resume=True) as run:
            assert len(run.steps) == 2
            assert (begun / "events.jsonl").read_bytes() == before
            run.append(Step(2, "fc1:1", 2.5, 0.5))
        assert len(RunDirectory.read(begun).steps) == 3

    def test_a_damaged_line_in_the_middle(self, begun: Path) -> None:
        (begun / "events.jsonl").write_text("rubbish\n" + FIRST.to_json() + "\n")
        for open_it in (lambda: opened(begun, resume=True), lambda: RunDirectory.read(begun)):
            with pytest.raises(RunError, match=r"line 1 of .*events.jsonl is damaged"):
                open_it()

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "x"}', "\ud800"])
    def test_run_json(self, begun: Path, text: str) -> None:
        (begun / "run.json").write_bytes(text.encode(errors="surrogatepass"))
        for open_it in (lambda: opened(begun, resume=True), lambda: RunDirectory.read(begun)):
            with pytest.raises(RunError, match=r"run\.json"):
                open_it()

    def test_of_a_later_version(self, begun: Path) -> None:
        (begun / "run.json").write_text((begun / "run.json").read_text().replace('"version": 1', '"version": 2'))
        with pytest.raises(RunError, match="version 1"):
            RunDirectory.read(begun)

    def test_a_disk_that_is_full(self, begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run, before = opened(begun, resume=True), (begun / "events.jsonl").read_bytes()

        def full(descriptor: int, content: bytes) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(RunError, match="No space left"):
                run.append(Step(2, "fc1:1", 2.5, 0.5))
        with pytest.raises(RunError, match="not open"):
            run.append(Step(3, "fc1:2", 2.5, 0.5))
        assert (begun / "events.jsonl").read_bytes() == before
        opened(begun, resume=True).close()


class TestRefusals:
    def test_files_of_another_kind(self, path: Path) -> None:
        path.mkdir(parents=True)
        (path / "thesis.tex").write_text("mine")
        for resume in (False, True):
            with pytest.raises(RunError, match=r"no run.json \(thesis.tex\)"):
                opened(path, resume=resume)
        assert [entry.name for entry in path.iterdir()] == ["thesis.tex"]

    def test_events_without_a_run_json(self, begun: Path) -> None:
        (begun / "run.json").unlink()
        with pytest.raises(RunError, match=r"no run\.json"):
            opened(begun, resume=True)

    def test_a_path_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(RunError, match="cannot make"):
            opened(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_directory_that_may_not_be_written(self, path: Path) -> None:
        path.mkdir(parents=True)
        path.chmod(0o555)
        with pytest.raises(RunError, match="permissions"):
            opened(path)

    def test_an_empty_directory_will_do(self, path: Path) -> None:
        path.mkdir(parents=True)
        opened(path).close()

    def test_what_is_no_json(self, path: Path) -> None:
        for value in (object(), math.nan):
            with pytest.raises(OptionError, match="JSON-able"):
                opened(path, value=value)

    def test_no_run_to_read(self, path: Path) -> None:
        with pytest.raises(RunError, match="holds no run"):
            RunDirectory.read(path)

    def test_recording_in_what_is_not_open(self, begun: Path) -> None:
        run = opened(begun, resume=True)
        run.close()
        run.close()
        for closed in (run, RunDirectory.read(begun)):
            with pytest.raises(RunError, match="not open to be recorded"):
                closed.append(Step(2, "fc1:1", 2.5, 0.5))
            with pytest.raises(RunError, match="not open to be recorded"):
                closed.keep(Ranking(0, torch.arange(5), torch.zeros(5, dtype=torch.float64)))


class TestLock:
    def test_two_runs_in_one_directory(self, path: Path) -> None:
        with opened(path), pytest.raises(RunLockedError, match=f"pid {os.getpid()} on"):
            opened(path, resume=True)
        opened(path, resume=True).close()

    def test_is_released_by_an_error(self, begun: Path) -> None:
        with pytest.raises(RunMismatchError):
            opened(begun, resume=True, criterion="taylor1")
        with pytest.raises(ZeroDivisionError), opened(begun, resume=True):
            _ = 1 / 0
        opened(begun, resume=True).close()

    def test_of_another_process_dies_with_it(self, begun: Path) -> None:
        code = (
            "import sys; from secateur.rundir import RunDirectory\n"
            f"run = RunDirectory.open({str(begun)!r}, {CONFIGURATION!r}, unit_count=5, removable=3, resume=True)\n"
            "print('in', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"in\n"
            with pytest.raises(RunLockedError, match=f"pid {other.pid} on"):
                opened(begun, resume=True)
            other.kill()
        opened(begun, resume=True).close()

    def test_a_file_system_without_locks(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def flock(descriptor: int, operation: int) -> None:
            raise OSError(37, "No locks available")

        assert rundir.fcntl is not None
        monkeypatch.setattr(rundir.fcntl, "flock", flock)
        with pytest.raises(RunError, match="No locks available"):
            opened(path)


class Killed(BaseException):
    """Stands for the end of the process."""


@contextmanager
def killed_at(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """End the process just before, or for a write half-way through, the count-th change of what is on the disk."""
    made = [0]

    def watch(module: Any, name: str, half: Callable[..., object] | None = None) -> None:
        real = getattr(module, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            made[0] += 1
            if made[0] == count:
                if half:
                    half(real, *arguments)
                raise Killed
            return real(*arguments, **options)

        patch.setattr(module, name, watched)

    with monkeypatch.context() as patch:
        watch(os, "write", lambda real, descriptor, content: real(descriptor, content[: len(content) // 2]))
        watch(Path, "write_bytes", lambda real, file, content: real(file, content[: len(content) // 2]))
        for name in ("fsync", "replace", "truncate", "ftruncate", "mkdir"):
            watch(os, name)
        yield made


class TestKilled:
    @pytest.mark.parametrize("rerank_every", [1, 3, None])
    def test_before_or_within_every_change_of_the_disk(
        self, tmp_path: Path, rerank_every: int | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with killed_at(-1, monkeypatch) as made:
            pruned(tmp_path / "whole", rerank_every, criterion=Moody())
        assert made[0] > 20
        for count in range(1, made[0] + 1):
            with killed_at(count, monkeypatch), pytest.raises(Killed):
                pruned(tmp_path / f"{count}", rerank_every, criterion=Moody())
            pruned(tmp_path / f"{count}", rerank_every, criterion=Moody())
            there = {name: content for name, content in contents(tmp_path / f"{count}").items() if "part" not in name}
            assert there == contents(tmp_path / "whole"), count

    def test_again_and_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pruned(tmp_path / "whole", 2, criterion=Moody())
        kills = 0
        for _ in range(1000):
            try:
                with killed_at(random.randint(1, 12), monkeypatch):
                    pruned(tmp_path / "other", 2, criterion=Moody())
                break
            except Killed:
                kills += 1
        assert kills > 0
        assert contents(tmp_path / "other") == contents(tmp_path / "whole")

    @pytest.mark.parametrize("rerank_every", [1, 3, None])
    def test_by_the_system_at_random_instants(self, tmp_path: Path, rerank_every: int | None) -> None:
        script = Path(__file__).with_name("killed_run.py")
        done = subprocess.run(
            [sys.executable, str(script), str(tmp_path), str(rerank_every), "14"],
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{Path(__file__).parent}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) >= 8
        unbroken, killed = contents(tmp_path / "unbroken"), contents(tmp_path / "killed")
        assert killed["events.jsonl"] == unbroken["events.jsonl"]
        assert {name for name in killed if "part" not in name} == set(unbroken)
