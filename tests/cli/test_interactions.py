"""secateur interactions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from secateur.cli import inputs
from secateur.gated import GatedLoss

from .conftest import EXAMPLES, Call


def test_pairs_as_json_and_in_a_folder(call: Call, folder: Path) -> None:
    done = call("interactions", *EXAMPLES, "--out", "pairs", "--json")
    assert done.code == 0, done.err
    values = done.json["interactions"]
    assert len(done.json["units"]) == len(values) == 11
    assert all(values[i][j] == values[j][i] for i in range(11) for j in range(11))
    assert {path.name for path in (folder / "pairs").iterdir()} == {
        f"interactions.{suffix}" for suffix in ("png", "svg", "csv", "json")
    }
    rows = list(csv.DictReader((folder / "pairs" / "interactions.csv").read_text().splitlines()))
    assert len(rows) == 55
    assert [float(row["interaction"]) for row in rows] == sorted(float(row["interaction"]) for row in rows)
    assert json.loads((folder / "pairs" / "interactions.json").read_text())["interactions"] == values


def test_is_the_sum_of_four_errors(call: Call) -> None:
    value = call("interactions", *EXAMPLES, "--units", "0:1", "3:2", "--json").json["interactions"][0][1]
    model, data = (inputs.factory(f"net.py:{name}", "--model")() for name in ("network", "examples"))
    loss = GatedLoss(model.eval(), data)
    u, v = loss.units.positions(["0:1", "3:2"])
    gates = torch.ones(4, len(loss.units))
    gates[[1, 3], u] = 0.0
    gates[[2, 3], v] = 0.0
    whole, first, second, both = loss(gates).tolist()
    assert value == pytest.approx(both - first - second + whole, rel=1e-4, abs=1e-5)


def test_prints_the_strongest_pairs_of_both_kinds(call: Call) -> None:
    done = call("interactions", *EXAMPLES, "--limit", "2")
    assert done.code == 0, done.err
    assert "Cancel each other" in done.out
    assert "Stand in for each other" in done.out
    assert "55 pairs of 11 units" in done.out


@pytest.mark.parametrize(("words", "code"), [(("--units", "0:99"), 1), (("--units", "0:1"), 2), (("--limit", "0"), 2)])
def test_refuses(call: Call, words: tuple[str, ...], code: int) -> None:
    assert call("interactions", *EXAMPLES, *words).code == code
