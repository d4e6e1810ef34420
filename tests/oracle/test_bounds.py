"""Bounds of scores: on all networks of the table, and on random and adversarial last layers."""

from __future__ import annotations

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated, measurable
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from secateur import oracle
from secateur.gated import GatedLoss
from secateur.oracle.bounds import bounded_units, bounds

LOSSES = ("cross_entropy", "soft", "bce", "sse", "mse", "self")


def holds(loss: GatedLoss, gates: Tensor) -> None:
    """Every bound, against brute force."""
    alive = gates.nonzero().flatten()
    found = bounds(loss, gates)
    scores = oracle.reference(loss, gates, alive)
    slack = 1e-12 * (abs(found.error) + scores.abs())
    assert abs(found.error - float(loss(gates))) <= 1e-12 * abs(found.error)
    assert bool((found.lower[alive] <= scores + slack).all())
    assert bool((scores <= found.upper[alive] + slack).all())
    for unit in alive[:3].tolist():
        without = gates.index_fill(0, torch.tensor([unit]), 0.0)
        spread = bounds(loss, without, torch.tensor([unit])).spread[:, 0]
        left = without.nonzero().flatten()
        moved = (oracle.reference(loss, without, left) - oracle.reference(loss, gates, left)).abs()
        assert bool((moved <= spread[left] + 1e-12 * (abs(found.error) + moved)).all())


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_on_every_network(case: Case, off: str) -> None:
    loss = measurable(case, off)
    gates = loss.gates()
    holds(loss, gates)
    gates[::3] = 0.0
    holds(loss, gates)


def test_where_they_apply() -> None:
    """To the units that the last linear layer reads, and nothing else; to no other loss, and behind no activation."""

    def layers(case: str) -> set[str]:
        loss = gated(BY_NAME[case])
        return {loss.units[at].layer for at in bounded_units(loss).nonzero().flatten().tolist()}

    assert layers("relu") == {"fc2"}
    assert layers("conv") == {"fc1"} or layers("conv") == {"conv2"}
    assert layers("sigmoid") == set()  # its answer is a sigmoid's
    assert layers("shared") == set()  # the layer reads itself, too
    case = BY_NAME["relu"]
    own = GatedLoss(
        case.model(), case.data(), lambda z, batch: nn.functional.cross_entropy(z, batch[1], reduction="none")
    )
    assert not bool(bounded_units(own).any())
    found = bounds(own, own.gates(), torch.tensor([0]))
    assert bool((found.lower == -torch.inf).all() and (found.upper == torch.inf).all() and found.spread.isinf().all())


def last_layer(name: str, hidden: Tensor, weight: Tensor, target: Tensor, off: str = "zero") -> GatedLoss:
    """A network whose hidden values are the given ones."""
    count = hidden.shape[1]
    model = nn.Sequential(nn.Linear(count, count, bias=False), nn.Linear(count, len(weight))).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(count))
        model[1].weight.copy_(weight)
    data = hidden if name == "self" else (hidden, target)
    return GatedLoss(model, data, "cross_entropy" if name == "soft" else name, off=off)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(LOSSES), st.sampled_from(["zero", "mean"]), st.sampled_from([0.1, 1, 30]))
def test_on_random_last_layers(seed: int, name: str, off: str, scale: float) -> None:
    """Heavy tails, zeros, columns that repeat, answers from undecided to saturated."""
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(6, 4, generator=draw, dtype=torch.float64) ** 3 * scale
    hidden[:, 1] *= torch.rand(6, generator=draw) < 0.3
    weight = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    weight[:, 3] = weight[:, 2]
    target = torch.rand(6, 3, generator=draw, dtype=torch.float64)
    if name == "soft":
        target = target / target.sum(1, keepdim=True) * 1.0005
    if name == "cross_entropy":
        target = target.argmax(1)
    loss = last_layer(name, hidden, weight, target, off)
    holds(loss, loss.gates())
    holds(loss, torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "sse", "mse"])
def test_the_constants_are_the_best_possible(name: str) -> None:
    """One undecided example, and a unit that moves it by little: the upper bound is attained."""
    hidden = torch.tensor([[1e-3, 1e-3]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    target = {"cross_entropy": torch.tensor([0])}.get(name, torch.zeros(1, 2, dtype=torch.float64))
    loss = last_layer(name, hidden, weight, target)
    with torch.no_grad():
        loss.model[1].bias.zero_()
    gates = loss.gates()
    found, score = bounds(loss, gates), oracle.reference(loss, gates, torch.arange(2))
    first = -loss.gradient(gates)
    assert torch.allclose(score - first, found.upper - first, rtol=1e-3, atol=0)
    without = torch.tensor([0.0, 1.0], dtype=torch.float64)
    moved = oracle.reference(loss, without, torch.tensor([1])) - score[1]
    assert torch.allclose(moved, bounds(loss, without, torch.tensor([0])).spread[1], rtol=1e-3, atol=0)


def test_squares_are_known_exactly() -> None:
    """The siamese network's loss is quadratic in the gates of its last layer."""
    loss = gated(BY_NAME["siamese"])
    found = bounds(loss, loss.gates())
    expected = oracle.reference(loss, loss.gates(), torch.arange(6))
    assert bool(bounded_units(loss).all())
    assert torch.allclose(found.upper, expected, rtol=0, atol=1e-12)
    assert torch.allclose(found.lower, expected, rtol=0, atol=1e-12)
