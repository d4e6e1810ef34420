"""Knees against a count by hand, and by a naive twin."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur as sc
from secateur.analysis import Knee
from secateur.errors import OptionError
from secateur.trace import Step, Trace


def naive(errors: list[float], threshold: float, examples: int, units: int) -> tuple[int | None, int | None]:
    last = first = None
    crossed = False
    for removed, error in enumerate(errors):
        fine = error / examples <= threshold
        crossed = crossed or not fine
        if fine:
            last = units - removed
        if not crossed:
            first = units - removed
    return last, first


@given(st.lists(st.floats(0, 10), min_size=1, max_size=12), st.floats(0, 10), st.integers(1, 4), st.integers(0, 3))
def test_is_the_naive_count(errors: list[float], threshold: float, examples: int, more: int) -> None:
    units = len(errors) - 1 + more
    found = sc.knee(errors, threshold, examples=examples, units=units)
    assert (found.last, found.first) == naive(errors, threshold, examples, units)


def test_a_trace_tells_its_own_units() -> None:
    steps = [Step(0, None, 2.0, math.nan), Step(1, "fc:1", 8.0, 0.1), Step(2, "fc:2", 4.0, 0.1)]
    assert sc.knee(Trace(10, steps=steps), 1.0, examples=4) == Knee(1.0, 8, 10)


def test_the_ladder_is_a_knee_for_each_tolerance() -> None:
    errors = [0.0, 0.02, 0.2, 0.02, 2.0]
    found = sc.knees(errors, 10.0)
    assert [knee.threshold for knee in found] == pytest.approx([0.01, 0.03, 0.1, 0.3, 1.0])
    assert [(knee.last, knee.first) for knee in found] == [(4, 4), (1, 3), (1, 3), (1, 1), (1, 1)]
    assert sc.knees(errors, 10.0, (0.003,))[0] == sc.knee(errors, 0.03)


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    for errors, options in [([], {}), ([1.0, math.nan], {}), ([1.0, 2.0], {"units": 0}), ([1.0], {"examples": 0})]:
        with pytest.raises(OptionError, match="knee got"):
            sc.knee(errors, 1.0, **options)
