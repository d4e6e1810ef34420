"""Fault tolerance against a loop that evaluates E and the answers for every set of failed units."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated
from torch import Tensor

import secateur as sc
from secateur.analysis import RemovalCurves
from secateur.errors import OptionError

PRUNABLE = [case for case in CASES if case.reads and not case.large]


def without(loss: sc.GatedLoss, off: list[int]) -> Tensor:
    gates = loss.gates()
    gates[off] = 0.0
    return gates


def naive_greedy(loss: sc.GatedLoss, worst: bool) -> list[int]:
    gone: list[int] = []
    while len(gone) < len(loss.units):
        left = [u for u in range(len(loss.units)) if u not in gone]
        costs = {u: float(loss(without(loss, [*gone, u])).detach()) for u in left}
        gone.append((max if worst else min)(left, key=costs.__getitem__))
    return gone


def check(loss: sc.GatedLoss, curves: RemovalCurves, removed: list[int]) -> None:
    targets = loss.targets
    for row, order in enumerate(curves.order.tolist()):
        assert sorted(order) == list(range(len(loss.units)))
        for point, many in enumerate(removed):
            gates = without(loss, order[:many])
            errors, answers = loss.per_example(gates), loss.outputs(gates).argmax(1)
            assert float(curves.error[row, point]) == pytest.approx(float(loss(gates).detach()), rel=1e-12)
            assert float(curves.accuracy[row, point]) == pytest.approx(float((answers == targets).double().mean()))
            for member in range(loss.classes):
                own = targets == member
                if bool(own.any()):
                    right = float((answers == targets)[own].double().mean())
                    assert float(curves.class_accuracy[row, point, member]) == pytest.approx(right)
                    assert float(curves.class_error[row, point, member]) == pytest.approx(float(errors[own].sum()))


@pytest.mark.parametrize("name", ["relu", "gelu", "conv_smooth"])
def test_is_what_a_loop_finds(name: str) -> None:
    loss = gated(BY_NAME[name])
    found = sc.fault_tolerance(loss, orders=3, every=4)
    removed = [*range(0, len(loss.units), 4), len(loss.units)]
    assert found.removed.tolist() == removed
    assert found.worst_first.order.tolist() == [naive_greedy(loss, worst=True)]
    assert found.best_first.order.tolist() == [naive_greedy(loss, worst=False)]
    for curves in (found.random, found.worst_first, found.best_first):
        check(loss, curves, removed)


@pytest.mark.parametrize("case", PRUNABLE[::6], ids=str)
def test_all_orders_begin_and_end_alike(case: Case) -> None:
    found = sc.fault_tolerance(gated(case), orders=2)
    for curves, place in itertools.product((found.random, found.worst_first, found.best_first), (0, -1)):
        assert torch.allclose(curves.error[:, place], found.random.error[0, place], rtol=1e-12)


def test_orders_are_those_of_the_seed() -> None:
    loss = gated(BY_NAME["relu"])
    first, again, other = (sc.fault_tolerance(loss, orders=4, every=20, seed=seed).random.order for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(order) for order in first.tolist()}) == 4


def test_the_band_holds_the_middle_orders() -> None:
    found = sc.fault_tolerance(gated(BY_NAME["relu"]), orders=5, every=3)
    low, median, high = found.band(share=1.0)
    assert torch.equal(low, found.random.error.amin(0))
    assert torch.equal(high, found.random.error.amax(0))
    assert torch.allclose(median, found.random.error.median(0).values)
    assert found.band("class_accuracy").shape == (3, len(found.removed), 3)


def test_targets_that_are_no_classes_have_no_accuracy() -> None:
    found = sc.fault_tolerance(gated(BY_NAME["sigmoid"]), orders=1, every=5)
    assert found.random.class_error.shape[-1] == 0
    assert math.isnan(float(found.random.accuracy[0, 0]))


def test_one_hot_targets_are_classes() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3)).double().eval()
    x, y = torch.randn(12, 2).double(), torch.arange(12) % 3
    indices = sc.fault_tolerance(sc.GatedLoss(model, (x, y), "sse"), orders=2)
    rows = sc.fault_tolerance(sc.GatedLoss(model, (x, torch.eye(3).double()[y]), "sse"), orders=2)
    assert torch.equal(indices.random.class_accuracy, rows.random.class_accuracy)
    assert torch.allclose(indices.random.class_error.sum(-1), indices.random.error)


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    with pytest.raises(OptionError, match="orders=0"):
        sc.fault_tolerance(gated(BY_NAME["relu"]), orders=0)
