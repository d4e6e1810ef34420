"""Two processes against one: the same decisions. No test asserts a time."""

from __future__ import annotations

import pytest

from secateur.bench import processes
from secateur.errors import OptionError, RankError

TASK = {"network": "mlp:5-6-4-3", "examples": 1100, "weights": "untrained", "seed": 0}


def test_two_decide_as_one() -> None:
    found = processes.two_against_one("mlp:5-6-4-3", 1100, removals=3, rounds=1, weights="untrained")
    assert found["same_decisions"]
    assert (found["removals"], found["ranks"], found["examples"]) == (3, 2, 1100)
    for part in ("round", "run"):
        assert found[part]["faster"] == found[part]["one"]["median"] / found[part]["several"]["median"]


def test_what_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(task, ranks):
        return {"round": 4.0 / ranks, "run": 6.0 / ranks, "removed": ["a"], "errors": [1.0, float(ranks)]}

    monkeypatch.setattr(processes, "_start", start)
    found = processes.two_against_one("mlp:5-6-4-3", 10, weights="untrained")
    assert not found["same_decisions"]
    assert found["round"] == {
        "one": {"median": 4.0, "least": 4.0, "greatest": 4.0},
        "several": {"median": 2.0, "least": 2.0, "greatest": 2.0},
        "faster": 2.0,
    }


def test_a_process_that_fails_is_an_error() -> None:
    with pytest.raises(RankError, match="no engine is called 'exat'"):
        processes._start({**TASK, "engine": "exat", "removals": 1}, 1)
    with pytest.raises(OptionError, match="1 ranks"):
        processes.two_against_one("mlp:5-6-4-3", 10, ranks=1)
