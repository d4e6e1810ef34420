"""A study that is done in a second: 20 units, an epoch of training, 40 examples."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import MappingProxyType

import pytest

from secateur.studies import draw, reproduce
from secateur.studies.plan import ITERATIVE, SINGLE, Condition, Effort, Figure, Study


def tiny(name: str = "tiny", recipe: str = "cos-small") -> Study:
    effort = Effort(seeds=2, examples=40, rerank_every=7, training={"epochs": 1}, gains=11)
    return Study(
        name=name,
        title="Tiny",
        conditions=(Condition("off = zero", recipe), Condition("off = mean", recipe, off="mean")),
        figures=(Figure(name, ITERATIVE, error="cos-small"), Figure(f"{name}-once", SINGLE)),
        quick=effort,
        full=effort,
        criteria=("oracle", "taylor1"),
        classes=recipe == "diamond",
        gains={"oracle": f"{name}-gt-gain"},
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tiny study comes to in one go: not to be changed."""
    out = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        only(patch)
        reproduce.reproduce(reproduce.Wanted(), out)
    return out


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Study:
    """The only study there is, drawn in one format only."""
    return only(monkeypatch)


@pytest.fixture
def whole(made: Path, tmp_path: Path) -> Path:
    """A copy of what the study comes to."""
    return shutil.copytree(made, tmp_path / "whole")


def only(patch: pytest.MonkeyPatch) -> Study:
    found = tiny()
    patch.setattr(reproduce, "STUDIES", MappingProxyType({found.name: found}))
    patch.setattr(draw, "SUFFIXES", ("png",))
    return found
