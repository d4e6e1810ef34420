"""Fidelity against a naive twin that evaluates E for every unit, and counts pairs by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated
from torch import Tensor

import secateur as sc
from secateur.analysis import Fidelity, StateFidelity, oracle_states
from secateur.errors import CriterionError, OptionError, UnknownNameError

PRUNABLE = [case for case in CASES if case.reads and not case.large]


def naive(loss: sc.GatedLoss, estimated: list[float], alive: list[int], scale: float) -> dict[str, float]:
    def error(off: int | None = None) -> float:
        return float(loss(loss.gates(torch.tensor([u for u in alive if u != off]))).detach())

    true = [error(u) - error() for u in alive]
    count, mean_x, mean_y = len(alive), sum(estimated) / len(alive), sum(true) / len(alive)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(estimated, true, strict=True))
    slope /= sum((x - mean_x) ** 2 for x in estimated)
    pairs = list(itertools.combinations(range(count), 2))
    concordant = sum(math.copysign(1, (estimated[i] - estimated[j]) * (true[i] - true[j])) for i, j in pairs)
    tenth = math.ceil(count / 10)
    lowest = [set(sorted(range(count), key=lambda i, s=scores: s[i])[:tenth]) for scores in (estimated, true)]
    return {
        "slope": slope,
        "intercept": mean_y - slope * mean_x,
        "sign_agreement": sum((x > 0) == (y > 0) for x, y in zip(estimated, true, strict=True)) / count,
        "kendall": concordant / len(pairs),
        "overlap": len(lowest[0] & lowest[1]) / tenth,
        "regret": (true[estimated.index(min(estimated))] - min(true)) / scale,
    }


@pytest.mark.parametrize("case", PRUNABLE[::3], ids=str)
def test_is_what_the_definitions_say(case: Case) -> None:
    loss = gated(case)
    generator = torch.Generator().manual_seed(3)
    importances = torch.randn(len(loss.units), generator=generator, dtype=torch.float64)
    states = [loss.gates(), torch.arange(1, len(loss.units)), loss.gates(torch.arange(0, len(loss.units), 2))]
    found = sc.fidelity(loss, importances, states, scale=2.5)
    for state, alive in zip(found.states, ([*range(len(loss.units))], states[1].tolist(), None), strict=True):
        alive = state.alive.tolist() if alive is None else alive
        assert state.alive.tolist() == alive
        expected = naive(loss, importances[alive].tolist(), alive, 2.5)
        scale = max(1.0, float(state.true.abs().max()))
        for name, value in expected.items():
            assert getattr(state, name) == pytest.approx(value, rel=1e-8, abs=1e-9 * scale), name


def test_the_oracle_is_faithful_to_itself() -> None:
    loss = gated(BY_NAME["sigmoid"])
    found = sc.fidelity(loss, "oracle", scale=1.0).summary()
    expected = {"slope": 1.0, "intercept": 0.0, "sign_agreement": 1.0, "kendall": 1.0, "overlap": 1.0, "regret": 0.0}
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_oracle_turned_round_is_the_opposite() -> None:
    loss = gated(BY_NAME["sigmoid"])

    def reversed_oracle(loss: sc.GatedLoss, alive: Tensor) -> Tensor:
        return -sc.criteria.CRITERIA["oracle"](loss, alive)

    (state,) = sc.fidelity(loss, reversed_oracle, [loss.gates()], scale=1.0).states
    assert (state.slope, state.kendall, state.sign_agreement) == pytest.approx((-1.0, -1.0, 0.0))
    assert state.regret == pytest.approx(float(state.true.max() - state.true.min()))


def test_first_order_is_exact_where_the_error_is_linear() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.Linear(5, 1)).double().eval()
    data = (torch.randn(20, 2).double(), torch.zeros(20, 1).double())
    loss = sc.GatedLoss(model, data, loss=lambda output, batch: output[:, 0])
    found = sc.fidelity(loss, "taylor1", scale=1.0).summary()
    assert (found["slope"], found["kendall"], found["regret"]) == pytest.approx((1.0, 1.0, 0.0))


def test_scores_that_were_not_measured_are_left_out() -> None:
    loss = gated(BY_NAME["sigmoid"])

    def partial(loss: sc.GatedLoss, alive: Tensor) -> Tensor:
        scores = sc.criteria.CRITERIA["oracle"](loss, alive).clone()
        scores[scores.argmax()] = math.nan
        return scores

    (state,) = sc.fidelity(loss, partial, [loss.gates()], scale=1.0).states
    assert (state.slope, state.kendall, state.regret) == pytest.approx((1.0, 1.0, 0.0))


def test_scores_that_are_all_the_same_have_no_line() -> None:
    loss = gated(BY_NAME["sigmoid"])
    (state,) = sc.fidelity(loss, torch.zeros(len(loss.units)), [loss.gates()], scale=1.0).states
    assert math.isnan(state.slope)
    assert math.isnan(state.kendall)
    assert state.regret == pytest.approx(float(state.true[0] - state.true.min()))  # ties go to the earliest unit


def test_the_summary_is_over_the_states_that_have_a_value() -> None:
    empty = torch.zeros(2, dtype=torch.float64)
    states = [StateFidelity(torch.arange(2), empty, empty, slope, 0.0, 1.0, 1.0, 1.0, slope) for slope in (1.0, 3.0)]
    states.append(StateFidelity(torch.arange(2), empty, empty, *[math.nan] * 6))
    assert Fidelity("x", 2, 1.0, tuple(states)).summary()["slope"] == 2.0
    assert math.isnan(Fidelity("x", 2, 1.0, tuple(states[2:])).summary()["slope"])


def test_the_states_lie_on_the_oracles_run() -> None:
    loss = gated(BY_NAME["sigmoid"])
    trace = sc.prune(loss.model, BY_NAME["sigmoid"].data(), loss="sse", progress=False).trace
    for alive in oracle_states(loss, 4):
        gone = set(loss.units.positions(trace.removed[: len(loss.units) - len(alive)]))
        assert set(alive.tolist()) == set(range(len(loss.units))) - gone
    assert len(oracle_states(loss, 4)) == 4


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    loss = gated(BY_NAME["sigmoid"])
    with pytest.raises(CriterionError, match="one for each unit"):
        sc.fidelity(loss, torch.zeros(3), scale=1.0)
    with pytest.raises(UnknownNameError, match="taylor1"):
        sc.fidelity(loss, "tailor1", scale=1.0)
    with pytest.raises(OptionError, match="two units on"):
        sc.fidelity(loss, "random", [torch.tensor([1])], scale=1.0)
    with pytest.raises(OptionError, match="a gate for each"):
        sc.fidelity(loss, "random", [torch.ones(3)], scale=1.0)
    with pytest.raises(OptionError, match="count=0"):
        oracle_states(loss, 0)
