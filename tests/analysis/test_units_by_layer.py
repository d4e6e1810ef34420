"""Units by layer against a count for every step and layer."""

from __future__ import annotations

import pytest
from cases import CASES, Case, gated

import secateur as sc
from secateur.criteria import Random
from secateur.errors import RunError
from secateur.loop import remove_units
from secateur.trace import Trace

PRUNABLE = [case for case in CASES if case.reads and not case.large]


@pytest.mark.parametrize("case", PRUNABLE[::4], ids=str)
def test_counts_what_is_left(case: Case) -> None:
    loss = gated(case)
    trace = remove_units(loss, Random(), sc.stop.never(), min_units_per_site=0)
    found = sc.units_by_layer(trace, loss.units)
    assert found.layers == tuple(case.reads)
    for step in range(len(loss.units) + 1):
        gone = set(trace.removed[:step])
        for column, layer in enumerate(found.layers):
            naive = sum(unit.layer == layer and unit.name not in gone for unit in loss.units)
            assert int(found.left[step, column]) == naive
    assert int(found.left[-1].sum()) == 0


def test_before_the_first_step_all_are_left() -> None:
    loss = gated(PRUNABLE[0])
    assert sc.units_by_layer(Trace(len(loss.units)), loss.units).left.tolist() == [[6, 7]]


def test_a_run_of_another_network_is_refused() -> None:
    other = gated(PRUNABLE[5])
    trace = remove_units(other, Random(), sc.stop.units(2))
    with pytest.raises(RunError, match="another network"):
        sc.units_by_layer(trace, gated(PRUNABLE[0]).units)
