"""secateur bench: tables, JSON, pictures, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secateur.cli.bench import _series
from secateur.errors import OptionError

from .conftest import Call

TINY = ("bench", "oracle", "--networks", "mlp:5-6-3", "--examples", 40, "--rounds", 1, "--threads", 1)


def test_one_round_in_json(call: Call) -> None:
    done = call(*TINY, "--engines", "exact", "--peers", "plain", "gradient", "--json", "--out", "found/oracle.json")
    assert done.code == 0, done.err
    (found,) = done.json["rounds"]
    assert (found["units"], found["examples"]) == (6, 40)
    assert [way["way"] for way in found["ways"]] == ["exact", "plain", "gradient"]
    assert done.json["machine"]["threads"] == 1
    assert (done.json["runs"], done.json["growth"], done.json["figures"]) == ([], [], [])
    assert json.loads(Path("found/oracle.json").read_text()) == done.json


def test_the_tables_and_the_pictures(call: Call) -> None:
    words = ("--runs", "--down-to", 0.4, "--grow", "examples", 20, 40, "--figures", "pictures", "--peer-units", 3)
    done = call(*TINY, "--engines", "exact", "--peers", "plain", "captum", "gradient", *words)
    assert done.code == 0, done.err
    for text in ("plain loop*", "Captum*", "timed on 3 units, extrapolated to 6", "agreement", "gradient"):
        assert text in done.out
    for text in ("whole runs down to 40% of 6 units", "oracle (exact)", "taylor1", "taylor2", "exponent", "1 threads"):
        assert text in done.out
    pictures = sorted(path.name for path in Path("pictures").iterdir())
    assert pictures == [
        f"{name}-mlp-5-6-3.{suffix}" for name in ("growth-examples", "quality") for suffix in ("png", "svg")
    ]


def test_by_default_all_engines_that_are_no_reference(call: Call) -> None:
    ways = [way["way"] for way in call(*TINY, "--peers", "none", "--json").json["rounds"][0]["ways"]]
    assert "exact" in ways
    assert "reference" not in ways
    assert "plain" not in ways


@pytest.mark.parametrize(
    "words",
    [
        ("--engines", "exat"),
        ("--peers", "captm"),
        ("--networks", "lenet"),
        ("--networks", "mlp:3"),
        ("--rounds", 0),
        ("--threads", 0),
        ("--examples", 0),
        ("--grow", "depth", 3),
        ("--weights", "heavy"),
        ("--runs", "--down-to", 1.5),
    ],
)
def test_wrong_usage(call: Call, words: tuple[object, ...]) -> None:
    engines = () if "--engines" in words else ("--engines", "exact")
    done = call(*TINY, *engines, *words) if "--peers" in words else call(*TINY, *engines, "--peers", "none", *words)
    assert done.code == 2, done.err
    assert not done.out


def test_sizes_that_grow() -> None:
    assert _series(["width", "1", "2", "examples", "3"]) == {"width": [1, 2], "examples": [3]}
    for words in (["1"], ["width"], ["examples", "0"], ["width", "x"]):
        with pytest.raises(OptionError, match="--grow"):
            _series(words)


def test_processes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur.bench import processes

    def start(task, ranks):
        return {"round": 4.0 / ranks, "run": 6.0 / ranks, "removed": ["a"], "errors": [1.0, 2.0]}

    monkeypatch.setattr(processes, "_start", start)
    words = ("bench", "processes", "--network", "mlp:5-6-3", "--examples", 20)
    done = call(*words)
    assert done.code == 0, done.err
    assert "The decisions are the same." in done.out
    assert "one process" in done.out
    assert call(*words, "--json").json["round"]["faster"] == 2.0
    assert call(*words, "--engine", "exat").code == 2
    assert call(*words, "--ranks", 1).code == 2
