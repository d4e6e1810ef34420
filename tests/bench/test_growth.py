"""Growth: sizes that grow, and the exponent of a power law."""

from __future__ import annotations

import pytest

from secateur.bench import grow_examples, grow_width
from secateur.bench.growth import exponent


def test_the_exponent_of_a_power_law() -> None:
    assert exponent([10, 20, 80], [5 * 10**1.5, 5 * 20**1.5, 5 * 80**1.5]) == pytest.approx(1.5)
    assert exponent([10, 10], [1, 2]) is None


def test_growth_with_examples() -> None:
    found = grow_examples("mlp:5-6-3", [10, 20], ["exact"], ["plain", "gradient"], rounds=1, peer_units=2)
    assert (found["of"], found["network"], found["data"]) == ("examples", "mlp:5-6-3", "random")
    assert [line["way"] for line in found["lines"]] == ["exact", "plain", "gradient"]
    assert [line["extrapolated"] for line in found["lines"]] == [False, True, False]
    for line in found["lines"]:
        assert line["sizes"] == [10, 20]
        medians = [entry["median"] for entry in line["seconds"]]
        assert line["exponent"] == line["last_exponent"] == pytest.approx(exponent([10, 20], medians))


def test_growth_with_width(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def one_round(subject, engines, peers, **options):
        asked.append((subject.name, len(subject.loss.units), len(subject.loss.examples)))
        ways = [{"way": "exact", "kind": "engine", "seconds": {"median": len(subject.loss.units)}}]
        return {**subject.record(), "ways": ways}

    monkeypatch.setattr("secateur.bench.growth.oracle_round", one_round)
    found = grow_width([3, 6, 12], 15, ["exact"], network="mlp:4-{}-3")
    assert asked == [("mlp:4-3-3", 3, 15), ("mlp:4-6-3", 6, 15), ("mlp:4-12-3", 12, 15)]
    assert found["lines"][0]["exponent"] == pytest.approx(1.0)
    assert (found["of"], found["network"]) == ("units", "mlp:4-width-3")
