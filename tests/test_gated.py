"""E(g) itself: what gates mean, and what GatedLoss promises of them."""

from __future__ import annotations

import pytest
import torch
from brute import losses
from cases import CASES, Case, gated, ones, switched_off
from torch import Tensor, nn

import secateur as sc

PRUNABLE = [case for case in CASES if case.reads]
FIRST = PRUNABLE[0]


@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_all_on_is_the_plain_network(case: Case) -> None:
    expected = losses(case, case.model())
    loss = gated(case)
    assert torch.allclose(loss.per_example(), expected, rtol=1e-12, atol=1e-14)
    assert float(loss()) == pytest.approx(float(expected.sum()), rel=1e-12)


@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_off_is_a_network_without_the_columns_that_read_the_unit(case: Case) -> None:
    loss, model = gated(case), case.model()
    for unit in {0, len(loss.units) - 1}:
        gates = loss.gates()
        gates[unit] = 0.0
        expected = losses(case, switched_off(model, [case.columns(loss.units[unit].name)]))
        assert torch.allclose(loss.per_example(gates), expected, rtol=1e-11, atol=1e-13)


def test_by_hand() -> None:
    """Weights of ones: three inputs of 1 give 3 in each of 4 units, and 12 at each of 2 outputs."""
    loss = sc.GatedLoss(ones(3, 4, 2).eval(), (torch.ones(5, 3), torch.zeros(5, 2)), "sse")
    assert float(loss()) == 5 * (12**2 + 12**2) / 2
    assert float(loss(torch.tensor([0.0, 1.0, 1.0, 1.0]))) == 5 * 9**2
    assert float(loss(torch.tensor([0.5, 1.0, 0.0, 0.0]))) == 5 * 4.5**2
    assert float(loss(torch.zeros(4))) == 0.0


def test_off_is_not_half_of_a_sigmoid() -> None:
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Sigmoid(), nn.Linear(2, 1, bias=False)).eval()
    nn.init.zeros_(model[0].weight)
    nn.init.ones_(model[2].weight)
    loss = sc.GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), "sse")
    assert float(loss()) == 0.5  # 1/2 (1/2 + 1/2)^2
    assert float(loss(torch.tensor([0.0, 1.0]))) == 0.125


def test_mean_puts_the_mean_in_its_place() -> None:
    """One unit that is the input, 1 and 3: its mean is 2, whatever the example."""
    model = ones(1, 1, 1).eval()
    loss = sc.GatedLoss(model, (torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)), "sse", off="mean")
    assert loss.per_example().tolist() == [0.5, 4.5]
    assert loss.per_example(torch.zeros(1)).tolist() == [2.0, 2.0]
    assert loss.per_example(torch.tensor([0.5])).tolist() == [1.5**2 / 2, 2.5**2 / 2]


def test_many_gates_at_once() -> None:
    loss = gated(FIRST)
    gates = torch.rand(5, len(loss.units), dtype=torch.float64)
    found = loss(gates)
    assert found.shape == (5,)
    assert found.tolist() == [float(loss(row)) for row in gates]
    assert loss(gates[:0]).shape == (0,)
    assert loss().shape == ()


@pytest.mark.parametrize("tile", [1, 3, 10, 1000])
def test_does_not_depend_on_the_tile(tile: int) -> None:
    whole = gated(FIRST)
    loss = sc.GatedLoss(FIRST.model(), FIRST.data(), FIRST.loss, tile=tile)
    assert float(loss()) == pytest.approx(float(whole()), rel=1e-13)
    assert torch.allclose(loss.gradient(), whole.gradient(), rtol=1e-11, atol=1e-13)
    assert torch.allclose(loss.outputs(), whole.outputs(), rtol=1e-12)
    assert [stop - start for start, stop in loss.spans()][:-1] == [tile] * (len(list(loss.spans())) - 1)


def test_is_differentiable_in_the_gates() -> None:
    loss = gated(FIRST)
    gates = loss.gates().requires_grad_(True)
    (slope,) = torch.autograd.grad(loss(gates), gates)
    assert torch.allclose(slope, loss.gradient(), rtol=1e-10, atol=1e-12)
    assert all(parameter.grad is None for parameter in loss.model.parameters())


def test_measures_error_and_answers_in_one_pass() -> None:
    loss = gated(FIRST)
    gates = torch.rand(len(loss.units), dtype=torch.float64)
    error, answers = loss.measure(gates)
    assert float(error) == float(loss(gates))
    assert torch.equal(answers, loss.outputs(gates))


def test_follows_the_weights_of_the_network() -> None:
    loss = gated(FIRST)
    before = float(loss())
    with torch.no_grad():
        for parameter in loss.model.parameters():
            parameter.mul_(1.1)
    expected = float(losses(FIRST, loss.model).sum())
    assert float(loss()) == pytest.approx(expected, rel=1e-12)
    assert float(loss()) != pytest.approx(before, rel=1e-6)


def test_on_other_examples() -> None:
    loss = gated(FIRST)
    x, y = FIRST.data()
    other = loss.on((x[:4], y[:4]))
    assert other.units is loss.units
    assert torch.allclose(other.per_example(), loss.per_example()[:4], rtol=1e-12)
    assert len(loss.per_example()) == len(x)


def test_mean_on_other_examples_is_that_of_the_first() -> None:
    loss = sc.GatedLoss(FIRST.model(), FIRST.data(), FIRST.loss, off="mean")
    x, y = FIRST.data()
    gates = torch.zeros(len(loss.units), dtype=torch.float64)
    assert torch.allclose(loss.on((x[:4], y[:4])).per_example(gates), loss.per_example(gates)[:4], rtol=1e-12)


def test_a_users_loss_gets_the_users_batch() -> None:
    seen: list[object] = []

    def mine(output: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
        seen.append(batch)
        return output.square().sum(1)

    x, y = FIRST.data()
    loss = sc.GatedLoss(FIRST.model(), (x, y), mine, tile=4)
    assert float(loss()) == pytest.approx(float(FIRST.model()(x).square().sum().detach()), rel=1e-12)
    last_x, last_y = seen[-1]  # pyright: ignore[reportGeneralTypeIssues]
    assert torch.equal(last_x, x[8:])
    assert torch.equal(last_y, y[8:])


def test_leaves_torchs_settings_alone() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        sc.score(FIRST.model(torch.float32), FIRST.data(torch.float32), loss=FIRST.loss)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
