"""A small network in a file of its own, and the command line called in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secateur.cli import run

ROOT = Path(__file__).parents[2]

FACTORY = """
import torch
from torch import nn


def network():
    print("a factory that talks")
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Sigmoid(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def examples():
    torch.manual_seed(1)
    return torch.randn(48, 4), torch.randint(3, (48,))


def held_out():
    torch.manual_seed(2)
    return torch.randn(32, 4), torch.randint(3, (32,))


def absolute(output, batch):
    return output.abs().sum(1)


def needs(size):
    return nn.Linear(size, size)


number = 3
"""


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


Call = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with net.py and data.npz (float64, as NumPy writes)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FACTORY)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(40, 4)), y=rng.integers(3, size=40))
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], folder: Path) -> Call:
    """Run a command line in this process."""

    def called(*words: object) -> Done:
        capsys.readouterr()
        code = run([str(word) for word in words])
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return called


def program(words: Sequence[object], folder: Path, **options: Any) -> subprocess.Popen[str]:
    """The program itself, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-m", "secateur", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


NETWORK = ("--model", "net.py:network")
EXAMPLES = (*NETWORK, "--data", "net.py:examples")
