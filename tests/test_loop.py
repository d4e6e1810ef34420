"""Greedy removal, against runs worked out by hand and against the naive loop."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
import torch
from quadratic import Moody, Quadratic, oracle
from torch import Tensor

from secateur import loop
from secateur.errors import CriterionError, NonFiniteError, OptionError, RunError
from secateur.loop import remove_units
from secateur.stopping import error_rise, fraction, metric_drop, never, parameters, units
from secateur.trace import Measured, Step, Trace

RERANK = pytest.mark.parametrize("rerank_every", [1, 2, 3, None])


def naive(loss: Quadratic, rerank_every: int | None, min_units_per_site: int = 1) -> list[tuple[str, float]]:
    """What the loop does, without its machinery: names and errors, until no unit may go."""
    alive, out, scores = list(range(len(loss.units))), [], {}
    names = [unit.name for unit in loss.units]
    while True:
        free = [
            unit
            for site in loss.units.sites
            for unit in site.units
            if unit in alive and len(set(site.units) & set(alive)) > min_units_per_site
        ]
        if not free:
            return out
        if not out or (rerank_every and len(out) % rerank_every == 0):
            scores = dict(zip(alive, oracle(loss, torch.tensor(alive)).tolist(), strict=True))
        chosen = min(free, key=lambda unit: scores[unit])
        alive.remove(chosen)
        gates = torch.zeros(len(names), dtype=torch.float64)
        gates[alive] = 1.0
        out.append((names[chosen], float(loss(gates))))


def made(trace: Trace) -> list[tuple[str | None, float]]:
    return [(step.unit, step.error) for step in trace.steps[1:]]


def scorer(*scores: float) -> Any:
    """A criterion with fixed scores by position."""
    return lambda loss, alive: torch.tensor(scores, dtype=torch.float64)[alive]


class TestByHand:
    def test_ranking_again_sees_the_interaction_that_ranking_once_cannot(self) -> None:
        loss = Quadratic([1.0, 1.5, 3.0], {(0, 1): 5.0})
        once = remove_units(loss, oracle, never(), None, min_units_per_site=0)
        again = remove_units(loss, oracle, never(), 1, min_units_per_site=0)
        assert once.removed == ("fc0:0", "fc0:1", "fc0:2")
        assert again.removed == ("fc0:0", "fc0:2", "fc0:1")
        assert [step.error for step in once.steps] == [10.0, 11.0, 17.5, 20.5]
        assert [step.error for step in again.steps] == [10.0, 11.0, 14.0, 20.5]
        assert [step.score for step in again.steps][1:] == [1.0, 3.0, 6.5]
        assert math.isnan(again.steps[0].score)

    def test_a_unit_that_does_harm_goes_first(self) -> None:
        trace = remove_units(Quadratic([0.0, 2.0, -1.0]), oracle, units(2))
        assert trace.removed == ("fc0:2", "fc0:0")

    @RERANK
    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("least", [0, 1, 2])
    def test_equals_the_naive_loop(self, rerank_every: int | None, seed: int, least: int) -> None:
        loss = Quadratic.random((4, 3, 5), seed)
        trace = remove_units(loss, oracle, never(), rerank_every, min_units_per_site=least)
        assert made(trace) == naive(loss, rerank_every, least)

    def test_the_function_fits_on_one_screen(self) -> None:
        assert len(inspect.getsource(remove_units).splitlines()) <= 45
        assert len(inspect.getsource(loop).splitlines()) <= 80


class TestTies:
    def test_equal_scores_go_in_order(self) -> None:
        trace = remove_units(Quadratic([1.0] * 4), oracle, never(), min_units_per_site=0)
        assert trace.removed == ("fc0:0", "fc0:1", "fc0:2", "fc0:3")

    def test_changes_of_error_that_agree_are_tied(self) -> None:
        for difference, first in ((1.5e-10, "fc0:0"), (2.5e-10, "fc0:1")):  # 1e-12 of 100 + 102 is the tolerance
            loss = Quadratic([2.0 + difference, 2.0], start=100.0)
            assert remove_units(loss, oracle, units(1)).removed == (first,)

    def test_other_scores_are_compared_exactly(self) -> None:
        loss = Quadratic([2.0, 2.0], start=100.0)
        assert remove_units(loss, scorer(2.0 + 1e-12, 2.0), units(1)).removed == ("fc0:1",)

    def test_the_tolerance_is_that_of_the_loss(self) -> None:
        loss = Quadratic([2.0 + 1e-5, 2.0], start=100.0, tolerance=1e-6)
        assert remove_units(loss, oracle, units(1)).removed == ("fc0:0",)

    def test_the_tolerance_is_relative_to_the_error_when_ranked(self) -> None:
        # Ranked at E = 1e4, used at E = 1: a difference of 1e-9 is then a tie for the whole ranking.
        loss = Quadratic([-9999.0, 5.0 + 1e-9, 5.0], start=1e4)
        assert remove_units(loss, oracle, units(2), None).removed == ("fc0:0", "fc0:1")
        assert remove_units(loss, oracle, units(2), 1).removed == ("fc0:0", "fc0:2")


class TestScores:
    def test_what_was_not_measured_is_never_chosen(self) -> None:
        trace = remove_units(Quadratic([1.0, 2.0, 3.0]), scorer(math.nan, 5.0, 4.0), units(2))
        assert trace.removed == ("fc0:2", "fc0:1")

    @pytest.mark.parametrize("rerank_every", [1, None])
    def test_nothing_measured(self, rerank_every: int | None) -> None:
        with pytest.raises(CriterionError, match="measured none of the 2 units that may be removed at step 0"):
            remove_units(Quadratic([1.0, 2.0]), scorer(math.nan, math.nan), never(), rerank_every)

    def test_what_was_measured_is_gone(self) -> None:
        with pytest.raises(CriterionError, match="rank again more often"):
            remove_units(Quadratic([1.0, 2.0, 3.0]), scorer(math.nan, 5.0, math.nan), never(), None)

    def test_only_a_protected_unit_measured(self) -> None:
        loss = Quadratic([1.0, 2.0, 3.0], sites=(1, 2))
        with pytest.raises(CriterionError, match="may be removed"):
            remove_units(loss, scorer(1.0, math.nan, math.nan), never())

    @pytest.mark.parametrize("value", [math.inf, -math.inf])
    def test_infinite(self, value: float) -> None:
        with pytest.raises(CriterionError, match="fc0:1 an infinite score"):
            remove_units(Quadratic([1.0, 2.0]), scorer(1.0, value), never())

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize("returned", [torch.zeros(3), torch.zeros(2, 1), torch.zeros(2, dtype=torch.cfloat)])
    def test_of_another_shape_or_type(self, returned: Tensor) -> None:
        with pytest.raises(CriterionError, match=r"expected a float64 tensor \(2,\)"):
            remove_units(Quadratic([1.0, 2.0]), lambda loss, alive: returned, never())

    def test_a_partial_criterion_is_told_what_may_go(self) -> None:
        class Lowest:
            partial, estimates_error = True, True

            def __call__(self, loss: Any, alive: Tensor, candidates: Tensor | None = None) -> Tensor:
                assert candidates is not None
                scores = oracle(loss, alive)
                best = min(candidates.tolist(), key=lambda unit: float(scores[alive == unit]))
                return torch.where(alive == best, scores, math.nan)

        loss = Quadratic.random((3, 4), 0)
        assert made(remove_units(loss, Lowest(), never())) == naive(loss, 1)
        for rerank_every in (None, 2):
            with pytest.raises(OptionError, match="rerank_every=1"):
                remove_units(loss, Lowest(), never(), rerank_every)


class TestEnds:
    def test_sites_keep_their_last_units(self) -> None:
        trace = remove_units(Quadratic([1.0, 2.0, 0.5, 3.0], sites=(2, 2)), oracle, never())
        assert trace.removed == ("fc1:0", "fc0:0")
        last, reason = trace.result(never())
        assert (last.step, reason.kind) == (2, "exhausted")

    def test_a_site_smaller_than_the_minimum_is_left_alone(self) -> None:
        trace = remove_units(Quadratic([9.0, 9.0, 9.0, 1.0], sites=(3, 1)), oracle, never(), min_units_per_site=2)
        assert trace.removed == ("fc0:0",)

    def test_stops_are_tested_on_the_untouched_network(self) -> None:
        def never_asked(loss: Any, alive: Tensor) -> Tensor:
            raise AssertionError("asked")

        trace = remove_units(Quadratic([1.0, 2.0]), never_asked, units(0))
        assert len(trace.steps) == 1

    def test_a_violation_is_recorded_and_not_in_the_result(self) -> None:
        loss = Quadratic([1.0, 2.0, 3.0, 4.0])
        assert len(remove_units(loss, oracle, error_rise(absolute=3.0)).steps) == 4
        trace = remove_units(loss, oracle, error_rise(absolute=2.9))
        assert [step.error for step in trace.steps] == [10.0, 11.0, 13.0]
        last, reason = trace.result(error_rise(absolute=2.9))
        assert (last.step, reason.kind) == (1, "violated")

    def test_what_is_measured_is_recorded_at_the_right_gates(self) -> None:
        def measure(gates: Tensor) -> Measured:
            on = int(gates.sum())
            return Measured(error=float(3 - on), metrics={"accuracy": on / 4}, params=10 * on, bytes=40 * on, flops=2)

        seen: list[Step] = []
        stop = metric_drop("accuracy", 0.5) | parameters(20)
        trace = remove_units(Quadratic([1.0] * 4), oracle, stop, measure=measure, progress=seen.append)
        assert [step.params for step in trace.steps] == [40, 30, 20]
        assert trace.steps[2] == Step(2, "fc0:1", 1.0, 1.0, {"accuracy": 0.5}, 20, 80, 2)
        assert seen == list(trace.steps)

    def test_an_error_that_is_not_finite(self) -> None:
        with pytest.raises(NonFiniteError, match="fc0:0"):
            remove_units(
                Quadratic([1.0, 2.0]), oracle, never(), measure=lambda gates: {"error": 1.0 if gates[0] else math.inf}
            )


class TestOptions:
    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize("option", [{"rerank_every": 0}, {"rerank_every": -1}, {"rerank_every": True}])
    def test_rerank_every(self, option: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="rerank_every"):
            remove_units(Quadratic([1.0]), oracle, never(), **option)

    def test_min_units_per_site(self) -> None:
        with pytest.raises(OptionError, match="min_units_per_site"):
            remove_units(Quadratic([1.0]), oracle, never(), min_units_per_site=-1)

    def test_a_trace_of_other_numbers(self) -> None:
        with pytest.raises(OptionError, match="expected 3 and 2"):
            remove_units(Quadratic([1.0] * 3), oracle, never(), trace=Trace(3))

    def test_a_trace_of_other_units(self) -> None:
        trace = Trace(2, 1, [Step(0, None, 1.0, math.nan), Step(1, "conv:7", 1.0, 1.0)])
        with pytest.raises(RunError, match="'conv:7'"):
            remove_units(Quadratic([1.0] * 2), oracle, never(), trace=trace)


class TestGoingOn:
    @RERANK
    @pytest.mark.parametrize("kind", ["plain", "with state"])
    @pytest.mark.parametrize("lost", [False, True])
    def test_as_the_unbroken_run(self, rerank_every: int | None, kind: str, lost: bool) -> None:
        loss = Quadratic.random((5, 4), 3)

        def criterion() -> Any:
            return Moody() if kind == "with state" else oracle

        unbroken = remove_units(loss, criterion(), never(), rerank_every)
        for first in range(len(unbroken.steps)):
            trace = remove_units(loss, criterion(), units(first), rerank_every)
            assert len(trace.steps) == first + 1
            if lost:
                trace = Trace(trace.unit_count, trace.removable, trace.steps)
            remove_units(loss, criterion(), never(), rerank_every, trace=trace)
            assert trace.steps[1:] == unbroken.steps[1:]

    def test_a_stop_that_is_met_already_removes_nothing_more(self) -> None:
        loss = Quadratic.random((6,), 0)
        trace = remove_units(loss, oracle, units(4))
        remove_units(loss, oracle, fraction(0.5), trace=trace)
        assert len(trace.removed) == 4
        assert trace.result(fraction(0.5))[0].step == 3
