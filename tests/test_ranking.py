"""The lowest score and its ties; what may be removed."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from quadratic import Units

from secateur.errors import CriterionError
from secateur.ranking import lowest, removable, removable_count

SCORES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=12).filter(
    lambda scores: not all(map(math.isnan, scores))
)


@given(SCORES)
def test_lowest_is_the_first_minimum(scores: list[float]) -> None:
    measured = [score for score in scores if not math.isnan(score)]
    assert lowest(torch.tensor(scores, dtype=torch.float64)) == scores.index(min(measured))


@given(SCORES, st.floats(0, 1e6), st.sampled_from([1e-12, 1e-6, 1e-2]))
def test_lowest_agrees_with_the_minimum_and_none_before_it_does(
    scores: list[float], error: float, tolerance: float
) -> None:
    minimum = min(score for score in scores if not math.isnan(score))
    chosen = lowest(torch.tensor(scores, dtype=torch.float64), error, tolerance)
    slack = tolerance * (error + abs(error + minimum))
    assert scores[chosen] <= minimum + slack
    assert not any(score <= minimum + slack for score in scores[:chosen])


def test_lowest_of_nothing() -> None:
    with pytest.raises(CriterionError, match="all are NaN"):
        lowest(torch.tensor([math.nan, math.nan]))


def test_removable() -> None:
    units, gates = Units(3, 2, 1), torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    assert removable(units, gates, 0).tolist() == [0, 2, 3, 5]
    assert removable(units, gates, 1).tolist() == [0, 2]
    assert removable(units, gates, 2).tolist() == []
    assert [removable_count(units, least) for least in (0, 1, 2, 3)] == [6, 3, 1, 0]
