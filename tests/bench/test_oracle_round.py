"""One round: what is recorded, extrapolated and compared. No test asserts a time."""

from __future__ import annotations

import json

import pytest
import torch

from secateur import oracle
from secateur.bench import Subject, make_subject, oracle_round
from secateur.bench.oracle import ratios, report
from secateur.bench.timing import Seconds, interleaved
from secateur.cli import show
from secateur.errors import OptionError, UnknownNameError
from secateur.threads import threads

ENGINES = sorted(oracle.ENGINES)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return make_subject("mlp:6-7-5-3", 60, double=True)


@pytest.fixture(scope="module")
def found(subject: Subject) -> dict:
    return oracle_round(subject, ENGINES, ["plain", "captum", "gradient"], rounds=2)


def way(found: dict, name: str) -> dict:
    (entry,) = (entry for entry in found["ways"] if entry["way"] == name)
    return entry


def test_it_is_json(found: dict) -> None:
    assert json.loads(json.dumps(show.strict(found), allow_nan=False)) == show.strict(found)


def test_what_is_measured_is_told(found: dict) -> None:
    assert (found["network"], found["units"], found["examples"]) == ("mlp:6-7-5-3", 12, 60)
    assert (found["data"], found["reference_units"], found["rounds"]) == ("random", 12, 2)
    assert found["weights"].startswith("untrained")
    assert [entry["way"] for entry in found["ways"]] == [*ENGINES, "plain", "captum", "gradient"]
    for entry in found["ways"]:
        seconds = entry["seconds"]
        assert 0 < seconds["least"] <= seconds["median"] <= seconds["greatest"]
        assert entry["example_evaluations"]["stands_for"] == 12 * 60


@pytest.mark.parametrize("name", [*ENGINES, "plain", "captum"])
def test_engines_and_peers_agree_with_the_reference(found: dict, name: str) -> None:
    entry = way(found, name)
    if name != "racing":  # whose scores are estimates, and whose choice is within its bound
        assert 0 <= entry["agreement"] <= 10
        assert entry["regret"] == pytest.approx(0, abs=1e-9)
        assert entry["chosen"] == way(found, "reference")["chosen"]
    assert 0 <= entry["regret"] < 0.5


def test_a_wrong_engine_is_told_apart(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(loss, gates, units):
        return -oracle.reference(loss, gates, units)

    monkeypatch.setattr("secateur.oracle.ENGINES", {**oracle.ENGINES, "exact": wrong})
    entry = way(oracle_round(subject, ["exact"], rounds=1), "exact")
    assert entry["agreement"] > 1e6
    assert entry["regret"] > 0


def test_ratios_are_of_medians(found: dict) -> None:
    exact, plain, gradient = (way(found, name) for name in ("exact", "plain", "gradient"))
    assert exact["ratios"]["faster_than_plain"] == plain["seconds"]["median"] / exact["seconds"]["median"]
    assert exact["ratios"]["gradient_passes"] == exact["seconds"]["median"] / gradient["seconds"]["median"]
    assert plain["ratios"]["faster_than_plain"] == 1
    assert ratios(Seconds((1.0,)), {}) == {}


def test_peers_are_extrapolated_from_a_sample(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def two_seconds(ways, rounds):
        for run in ways.values():
            run()
        return {name: Seconds((2.0,)) for name in ways}

    monkeypatch.setattr("secateur.bench.oracle.interleaved", two_seconds)
    found = oracle_round(subject, ["exact"], ["plain", "captum", "gradient"], rounds=1, peer_units=4)
    plain, captum, gradient, exact = (way(found, name) for name in ("plain", "captum", "gradient", "exact"))
    assert plain["extrapolated"]
    assert captum["extrapolated"]
    assert not gradient["extrapolated"]
    assert (plain["measured_units"], gradient["measured_units"], found["reference_units"]) == (4, 12, 4)
    assert plain["seconds"]["median"] == pytest.approx(2.0 * 13 / 5)  # 12 units and the network as it is; 4 and it
    assert exact["seconds"]["median"] == gradient["seconds"]["median"] == 2.0
    assert exact["ratios"]["faster_than_plain"] == pytest.approx(13 / 5)
    assert plain["example_evaluations"]["made"] == 13 * 60
    assert exact["chosen"] is None, "of a sample the lowest is not the network's lowest"
    assert exact["agreement"] <= 10


def test_reports_of_engines_count() -> None:
    class Engine:
        def report(self) -> dict:
            return {"evaluations": 7}

    class Criterion:
        engine = Engine()

    assert report(Engine()) == report(Criterion()) == {"evaluations": 7}
    assert report(object()) == {}


def test_ways_take_turns() -> None:
    order: list[str] = []
    seconds = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 3
    assert len(seconds["a"].taken) == 3
    with pytest.raises(OptionError, match="0 rounds"):
        interleaved({}, 0)


def test_threads_are_set_and_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(OptionError), threads(0):
        pass


def test_names_that_are_none(subject: Subject) -> None:
    with pytest.raises(UnknownNameError, match="exact"):
        oracle_round(subject, ["exat"])
    with pytest.raises(UnknownNameError, match="captum"):
        oracle_round(subject, [], ["captm"])
