"""Whole runs, and two curves side by side. No test asserts a time."""

from __future__ import annotations

import json
import math

import pytest
import torch

from secateur import oracle, stopping
from secateur.bench import Subject, compared_runs, make_subject
from secateur.bench.compare import beside, both_curves
from secateur.bench.runs import Curve, Deadline, constant_error, median_curve, plain_forwards, run
from secateur.cli import show
from secateur.criteria import resolve
from secateur.errors import OptionError, UnknownNameError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.losses import LOSSES
from secateur.zoo import mlp


@pytest.fixture(scope="module")
def subject() -> Subject:
    return make_subject("mlp:6-7-5-3", 60, double=True)


@pytest.fixture(scope="module")
def found(subject: Subject) -> dict:
    return compared_runs(subject, ["exact", "reference", "taylor1"], down_to=0.5, rounds=2)


def test_the_record(found: dict) -> None:
    assert json.loads(json.dumps(show.strict(found), allow_nan=False)) == show.strict(found)
    assert [entry["method"] for entry in found["runs"]] == ["oracle (exact)", "oracle (reference)", "taylor1"]
    for entry in found["runs"]:
        assert len(entry["removed"]) == 6
        assert len(entry["errors"]) == len(entry["seconds"]) == len(entry["deciding"]) == 7
        assert entry["seconds"] == sorted(entry["seconds"])
        assert all(part <= whole for part, whole in zip(entry["deciding"], entry["seconds"], strict=True))
        assert entry["ended"] == "done"
        plain = entry["plain_loop"]
        assert plain["forwards"] == 13 + 12 + 11 + 10 + 9 + 8
        assert plain["faster"] == pytest.approx(plain["seconds"] / entry["seconds"][-1])
    exact, reference, taylor = found["runs"]
    assert exact["evaluations"]["made"] == exact["evaluations"]["stands_for"] == 60 * (12 + 11 + 10 + 9 + 8 + 7)
    assert taylor["evaluations"] is None
    assert reference["beside_exact"]["same_removals"]
    assert reference["beside_exact"]["mean_log_ratio"] in (None, 0.0)
    assert exact["beside"]["taylor1"]["equal_units"]["points"] == 6


def test_a_run_is_the_loops(subject: Subject) -> None:
    for method, criterion in {"exact": resolve("oracle", "exact"), "taylor2": resolve("taylor2")}.items():
        trace = remove_units(subject.loss, criterion, stopping.units(6), 1)
        curve = run(subject.loss, method, down_to=0.5)
        assert tuple(curve.removed) == trace.removed
        assert curve.errors == [step.error for step in trace.steps]


@pytest.mark.parametrize("method", sorted(oracle.ENGINES))
def test_every_engine_runs(subject: Subject, method: str) -> None:
    curve = run(subject.loss, method, down_to=0.05)
    assert curve.ended == "exhausted", "each site keeps a unit"
    assert len(curve.removed) == 10
    assert curve.evaluations is not None
    assert curve.evaluations["made"] > 0


def test_a_run_ends_with_its_time(subject: Subject) -> None:
    curve = run(subject.loss, "exact", limit_seconds=0.0)
    assert (curve.removed, curve.ended) == ([], "time is up")
    assert Deadline(math.inf).describe() == "the time is up"
    with pytest.raises(OptionError, match="down_to=1"):
        run(subject.loss, "exact", down_to=1)
    with pytest.raises(UnknownNameError):
        run(subject.loss, "exat")


A = Curve("a", ["x", "y", "z"], [1.0, 1.0, 2.0, 8.0], [0.0, 1.0, 2.0, 3.0], [0.0] * 4)
B = Curve("b", ["x", "z", "y"], [1.0, 2.0, 1.0, 8.0], [0.0, 0.5, 1.5, 2.0])


def test_beside_the_exact_run() -> None:
    told = beside(B, A, ceiling=2.0)
    assert (told["same_removals"], told["first_difference"]) == (False, 2)
    assert told["removals_below_ceiling"] == told["log_ratios"] == 2
    assert told["mean_log_ratio"] == pytest.approx((math.log(2) - math.log(2)) / 2)
    assert told["greatest_log_ratio"] == pytest.approx(math.log(2))
    assert told["whole_way"]
    assert told["faster"] == 1.5
    assert beside(A, A, 2.0)["same_removals"]
    assert beside(A, A, 0.5)["mean_log_ratio"] is None
    short = Curve("c", ["x"], [1.0, 3.0], [0.0, 1.0])
    told = beside(short, A, 2.0)
    assert not told["same_removals"], "a prefix is no whole run"
    assert not told["whole_way"]
    assert (told["first_difference"], told["removals_compared"]) == (None, 1)
    zero = Curve("d", ["x", "y", "z"], [1.0, 0.0, 4.0, 8.0], [0.0, 1.0, 2.0, 3.0])
    told = beside(zero, A, 2.0)
    assert (told["log_ratios"], told["mean_log_ratio"]) == (1, pytest.approx(math.log(2)))


def test_at_equal_units_and_at_equal_seconds() -> None:
    told = both_curves(A, B)
    assert told["equal_units"]["points"] == 3
    assert told["equal_units"]["share_below"] == pytest.approx(2 / 3)
    assert told["equal_units"]["first_above"] == 2
    assert told["equal_units"]["greatest_ratio"] == pytest.approx(2.0)
    # at 0.5 s: 1 and 2; at 1 s: 1 and 2; at 1.5 s: 1 and 1; at 2 s: 2 and 8
    seconds = told["equal_seconds"]
    assert (seconds["points"], seconds["share_below"], seconds["seconds"]) == (4, 1.0, 2.0)
    assert seconds["removed_at_the_end"] == [2, 3]
    assert told["ahead"] == {"points": 3, "share": 0.0, "first_behind": 1}
    assert both_curves(B, A)["ahead"] == {"points": 3, "share": pytest.approx(2 / 3), "first_behind": 1}
    assert told["seconds_to_the_same_removals"] == [3.0, 2.0]
    untouched = Curve("c", [], [1.0], [0.1])
    assert both_curves(untouched, A)["equal_units"]["share_below"] is None


def test_rounds_that_part_are_cut_there() -> None:
    told = median_curve([A, Curve("a", ["x", "z", "y"], [1.0, 1.0, 3.0, 8.0], [0.0, 3.0, 4.0, 5.0], [0.0] * 4)])
    assert told.removed == ["x"]
    assert told.seconds == [0.0, 2.0]
    assert "differ after 1" in told.ended


def test_forwards_of_a_plain_loop() -> None:
    assert plain_forwards(3, 0) == 0
    assert plain_forwards(3, 3) == 4 + 3 + 2


@pytest.mark.parametrize("name", LOSSES)
def test_no_constant_is_better_than_the_best(name: str) -> None:
    torch.manual_seed(1)
    y = {"cross_entropy": torch.randint(2, (30,)), "bce": torch.rand(30, 3)}.get(name, torch.randn(30, 3))
    loss = GatedLoss(mlp((2, 4, 3)).double().eval(), (torch.rand(30, 2).double(), y), name)
    least = constant_error(loss)
    target = torch.cat([tile.target for tile in loss.tiles()])
    constant = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([constant], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        error = LOSSES[name](constant.expand(30, 3), target).sum()
        error.backward()
        return error

    search.step(closure)
    assert least == pytest.approx(closure().item(), rel=1e-4)
    assert least <= closure().item() + 1e-9
