"""Gain curves against one evaluation of E for each gain."""

from __future__ import annotations

import pytest
import torch
from cases import CASES, Case, gated

import secateur as sc
from secateur.errors import DataError, UnitError
from secateur.gated.memory import Memory

PRUNABLE = [case for case in CASES if case.reads and not case.large]
GAINS = [0.0, 0.3, 1.0, 2.5, 10.0]


@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_is_the_error_with_that_gate(case: Case) -> None:
    loss = gated(case)
    for unit in {0, len(loss.units) // 2, len(loss.units) - 1}:
        gates = loss.gates().repeat(len(GAINS), 1)
        gates[:, unit] = torch.tensor(GAINS, dtype=torch.float64)
        expected = loss(gates)
        curve = sc.gain_curve(loss, unit, GAINS)
        assert torch.allclose(curve, expected, rtol=1e-10, atol=1e-10 * float(loss()))


def test_other_units_may_be_off() -> None:
    loss = gated(PRUNABLE[0])
    alive = torch.arange(1, len(loss.units))
    gates = loss.gates(alive)
    gates[2] = 3.0
    assert float(sc.gain_curve(loss, 2, [3.0], alive)) == pytest.approx(float(loss(gates)), rel=1e-10)


def test_begins_at_the_oracle_and_passes_through_the_error() -> None:
    case = PRUNABLE[0]
    loss = gated(case)
    curve = sc.gain_curve(loss, loss.units[1].name, [0.0, 1.0])
    oracle = sc.criteria.CRITERIA["oracle"](loss, torch.arange(len(loss.units)))
    assert float(curve[0] - curve[1]) == pytest.approx(float(oracle[1]), rel=1e-9, abs=1e-12)
    assert float(curve[1]) == pytest.approx(float(loss()), rel=1e-12)


def test_a_thousand_gains_are_cut_into_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = gated(PRUNABLE[0])
    gains = torch.linspace(0, 10, 1001)
    whole = sc.gain_curve(loss, 0, gains)
    monkeypatch.setattr(loss, "memory", Memory(working_set=64))
    assert torch.allclose(sc.gain_curve(loss, 0, gains[::100]), whole[::100], rtol=1e-12)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("gains", [[], [float("nan")], [[1.0]]])
def test_refuses_gains_that_are_none(gains: list) -> None:
    with pytest.raises(DataError, match="finite numbers"):
        sc.gain_curve(gated(PRUNABLE[0]), 0, gains)


def test_refuses_a_unit_that_is_off() -> None:
    loss = gated(PRUNABLE[0])
    with pytest.raises(UnitError, match="is off"):
        sc.gain_curve(loss, 0, [1.0], alive=torch.arange(1, len(loss.units)))
