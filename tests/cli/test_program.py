"""The program as a process: fast help, exit codes, standard output for JSON alone, and interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from secateur import __version__

from .conftest import EXAMPLES, ROOT, Call, program

# A network that takes its time, so that there is something to interrupt.
SLOW = """
import time

import torch
from net import examples, network
from torch import nn


def pause(output, batch):
    time.sleep(0.04)
    return output.square().sum(1)
"""


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["prune", "--help"], ["demo", "--help"]])
def test_help_does_not_import_torch(words: list[str]) -> None:
    script = f"import sys; from secateur.cli import run; run({words!r}); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_version_and_help(call: Call) -> None:
    assert call("--version").out.strip() == __version__
    text = " ".join(call("--help").out.split())
    for command in ("demo", "prune", "score", "surface", "report", "verify", "export"):
        assert f" {command} " in text
    assert "130 interrupted" in text


def test_every_command_has_help_that_names_its_options(call: Call) -> None:
    for command in ("demo", "prune", "score", "surface", "report", "verify", "export"):
        done = call(command, "--help")
        assert done.code == 0
        assert "--json" in done.out
        assert "--config" in done.out


@pytest.mark.parametrize("words", [["prnue"], ["prune", "--nonsense"], ["report"]])
def test_wrong_usage(call: Call, words: list[str]) -> None:
    done = call(*words)
    assert done.code == 2
    assert done.err.startswith("secateur: ")
    assert done.out == ""


def test_the_process_ends_with_the_code_and_prints_json_alone(folder: Path) -> None:
    process = program(["prune", *EXAMPLES, "--stop", "parameters(1)", "--json"], folder)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert json.loads(out)["unmet"]
    assert "the goal cannot be met" in err
    assert "Traceback" not in err


def test_interrupted_and_resumed(folder: Path, call: Call) -> None:
    (folder / "slow.py").write_text(SLOW)
    words = ["prune", "--model", "slow.py:network", "--data", "slow.py:examples", "--loss", "slow.py:pause",
             "--engine", "reference", "--tile", "4", "--stop", "units(6)", "--out", "run"]  # fmt: skip
    process = program(words, folder)
    events = folder / "run" / "events.jsonl"
    deadline = time.monotonic() + 60
    while not (events.exists() and len(events.read_text().splitlines()) >= 2) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith(
        "secateur: interrupted; run holds what was done. Go on with: secateur prune "
    )
    assert err.rstrip().endswith("--resume")
    so_far = events.read_text()
    (folder / "slow.py").write_text(SLOW.replace("0.04", "0"))  # decides nothing: only the pause is gone
    done = call(*words, "--resume", "--json")
    assert done.code == 0, done.err
    assert events.read_text().startswith(so_far)
    assert len(done.json["removed"]) == 6


def test_a_reader_that_goes_away_is_no_traceback(folder: Path) -> None:
    process = program(["score", *EXAMPLES, "--json"], folder)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=60)
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
