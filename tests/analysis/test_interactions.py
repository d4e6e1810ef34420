"""Interactions against the four terms, evaluated one by one."""

from __future__ import annotations

import pytest
import torch
from cases import CASES, Case, gated, measurable

import secateur as sc
from secateur.errors import UnitError

PRUNABLE = [case for case in CASES if case.reads and not case.large]


@pytest.mark.parametrize("case", PRUNABLE[::3], ids=str)
def test_is_the_sum_of_four_errors(case: Case) -> None:
    loss = gated(case)
    count = len(loss.units)
    units = sorted({0, 1, count // 2, count - 1})
    found = sc.interactions(loss, units)
    scale = float(loss.per_example().abs().sum())

    def error(*off: int) -> float:
        gates = loss.gates()
        gates[list(off)] = 0.0
        return float(loss(gates))

    for row, u in enumerate(units):
        for column, v in enumerate(units):
            expected = 0.0 if u == v else error(u, v) - error(u) - error(v) + error()
            assert float(found[row, column]) == pytest.approx(expected, rel=1e-9, abs=1e-11 * max(scale, 1.0))


def test_is_zero_where_the_error_is_linear_in_the_gates() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)).double().eval()
    data = (torch.randn(5, 2).double(), torch.zeros(5, 1).double())
    loss = sc.GatedLoss(model, data, loss=lambda output, batch: output[:, 0])
    assert sc.interactions(loss).abs().max() < 1e-12


def test_refuses_a_unit_given_twice() -> None:
    with pytest.raises(UnitError, match="more than once"):
        sc.interactions(gated(PRUNABLE[0]), [0, 0])


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_pairs_at_once_agree_with_rounds_of_the_oracle(case: Case, off: str) -> None:
    loss = measurable(case, off)
    some = list(range(0, len(loss.units), max(1, len(loss.units) // 5)))
    expected = sc.interactions(loss, some, engine="reference")
    found = sc.interactions(loss, some)
    scale = 4 * float(loss.per_example().abs().sum()) + float(expected.abs().max())
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12 * scale)
    assert torch.equal(found, found.T)
    assert not found.diagonal().any()
