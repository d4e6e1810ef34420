"""The best constant output against a search, and against constants worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from secateur import losses
from secateur.analysis import constant_error, error_scale
from secateur.errors import OptionError
from secateur.gated import GatedLoss

OUTPUTS = 3


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, OUTPUTS)).double().eval()


def data(name: str) -> tuple[Tensor, ...]:
    x = torch.randn(40, 2).double()
    targets = {
        "cross_entropy": torch.randint(OUTPUTS, (40,)),
        "bce": torch.randint(2, (40, OUTPUTS)).double(),
        "self": None,
    }
    target = targets.get(name, torch.randn(40, OUTPUTS).double())
    return (x,) if target is None else (x, target)


def searched(name: str, loss: GatedLoss) -> float:
    """The least error of a constant, by gradient descent on the named loss itself."""
    target = torch.cat([tile.target for tile in loss.tiles()])
    constant = torch.zeros(loss.outputs().shape[1:], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([constant], max_iter=500, tolerance_grad=1e-13, line_search_fn="strong_wolfe")

    def error() -> Tensor:
        search.zero_grad()
        total = losses.LOSSES[name](constant.expand(len(target), *constant.shape), target).sum()
        total.backward()
        return total

    search.step(error)
    return float(error().detach())


@pytest.mark.parametrize("name", losses.LOSSES)
def test_no_constant_is_better(name: str) -> None:
    loss = GatedLoss(network(), data(name), name, tile=7)
    assert float(constant_error(loss)) == pytest.approx(searched(name, loss), rel=1e-9)


@pytest.mark.parametrize("name", ["sse", "cross_entropy", "bce"])
def test_at_every_position_of_an_output_its_own_constant(name: str) -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 1), nn.Tanh(), nn.Conv1d(4, OUTPUTS, 1)).double().eval()
    x = torch.randn(30, 1, 5).double()
    target = torch.randint(OUTPUTS, (30, 5)) if name == "cross_entropy" else torch.rand(30, OUTPUTS, 5).double()
    loss = GatedLoss(model, (x, target), name)
    assert float(constant_error(loss)) == pytest.approx(searched(name, loss), rel=1e-9)


def test_class_frequencies_by_hand() -> None:
    x, y = torch.zeros(4, 2).double(), torch.tensor([0, 0, 0, 2])
    expected = -3 * math.log(0.75) - math.log(0.25)
    assert float(constant_error(GatedLoss(network(), (x, y), "cross_entropy"))) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sse", "cross_entropy"])
def test_of_a_users_function_as_of_the_named(name: str) -> None:
    examples = data(name)
    named = GatedLoss(network(), examples, name)
    own = GatedLoss(named.model, examples, lambda output, batch: losses.LOSSES[name](output, batch[1]))
    assert float(constant_error(own)) == pytest.approx(float(constant_error(named)), rel=1e-9)


def test_is_what_the_network_saves() -> None:
    model, x = network(), torch.randn(50, 2).double()
    target = model(x).detach() + 0.1
    loss = GatedLoss(model, (x, target), "sse")
    expected = float((target - target.mean(0)).square().sum() / 2 - 50 * OUTPUTS * 0.01 / 2)
    assert float(error_scale(loss)) == pytest.approx(expected, rel=1e-12)


def test_a_network_no_better_than_a_constant_has_no_scale() -> None:
    x = torch.randn(50, 2).double()
    with pytest.raises(OptionError, match="better than a constant"):
        error_scale(GatedLoss(network(), (x, torch.ones(50, OUTPUTS).double()), "sse"))


def test_a_function_without_gradient_is_refused() -> None:
    loss = GatedLoss(network(), data("self"), lambda output, batch: (output > 0).double().sum(1))
    with pytest.raises(OptionError, match="gradients"):
        constant_error(loss)
