"""`secateur reproduce all`, made smaller: studies of every kind, with an epoch of training and 24 examples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from secateur import data, zoo
from secateur.cli import run
from secateur.data import Split, Splits
from secateur.studies import STUDIES, draw, reproduce
from secateur.studies.plan import Effort, Study

EFFORT = Effort(seeds=1, examples=24, rerank_every=200, training={"epochs": 1}, gains=3)
CHOSEN = (
    "cos-small",
    "mnist-test-single-digit-0",
    "off-cos-small",
    "activations-cos-small",
    "surrogate-mnist-acc99",
    "checkpoints-mnist-acc99",
)
"""One of each kind that does something of its own; how every study is declared is checked in test_studies.py."""


def smaller(study: Study) -> Study:
    """Its last condition; where it has several figures, two criteria only, and one figure of gain curves."""
    last = study.conditions[-1]
    condition = last if last.checkpoint is None else replace(last, checkpoint=1)
    criteria = study.criteria if len(study.figures) == 1 else study.criteria[:2]
    gains = {name: figure for name, figure in study.gains.items() if name == "oracle"}
    return replace(study, quick=EFFORT, conditions=(condition,), criteria=criteria, gains=gains)


def few_digits(flatten: bool = False, scale: bool = True, digit: int | None = None, **options: object) -> Splits:
    """In the place of the whole of MNIST, which is not everywhere."""
    noise = torch.Generator().manual_seed(0)
    x = torch.rand(48, 1, 28, 28, generator=noise) * (1 if scale else 255)
    y = torch.arange(48) % 10
    part = Split(x.flatten(1) if flatten else x, y if digit is None else (y == digit).long())
    return Splits(part, part, part, part)


def test_all_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    studies = [smaller(STUDIES[name]) for name in CHOSEN]
    load = data.load
    monkeypatch.setattr(
        data, "load", lambda name, **options: few_digits(**options) if name == "mnist" else load(name, **options)
    )
    trained = zoo.trained
    monkeypatch.setattr(zoo, "trained", lambda name, **options: trained(name, cache=False, **options))
    monkeypatch.setattr(draw, "SUFFIXES", ("svg",))
    monkeypatch.setattr(reproduce, "learnt", lambda record: True)  # an epoch teaches little
    monkeypatch.setattr(reproduce, "STUDIES", MappingProxyType({study.name: study for study in studies}))
    ended = run(["reproduce", "all", "--out", str(tmp_path), "--json"])
    told = capsys.readouterr()
    assert ended == 0, told.out + told.err
    outcome = json.loads(told.out)
    assert (outcome["made"], outcome["waiting"], outcome["failed"]) == (len(studies), 0, [])
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert drawn == {name for study in studies for name in (*(f.name for f in study.figures), *study.gains.values())}
    for study in studies:
        for figure in study.figures if study.paper else ():
            names = [name for name in outcome["agreement"] if name.split(" (")[0] == figure.name]
            assert bool(names) == bool(figure.error)
