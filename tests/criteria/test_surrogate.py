"""Softplus standing in for ReLU, compared with a network that has it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from secateur.criteria import resolve
from secateur.criteria.surrogate import Surrogate
from secateur.criteria.taylor1 import taylor1
from secateur.criteria.taylor2 import taylor2
from secateur.criteria.taylor2_paper import taylor2_paper
from secateur.errors import OptionError
from secateur.gated import GatedLoss

ALIVE = torch.tensor([0, 1, 2, 4, 6, 7, 8, 9, 12])


def losses(sharpness: float = 7.0) -> tuple[GatedLoss, GatedLoss]:
    """A network with ReLUs, and its naive twin with softplus modules."""
    torch.manual_seed(0)
    first, second, third = nn.Linear(4, 8), nn.Linear(8, 6), nn.Linear(6, 3)

    def loss(activation: nn.Module) -> GatedLoss:
        model = nn.Sequential(first, activation, second, activation, third).double().eval()
        torch.manual_seed(1)
        return GatedLoss(model, (torch.randn(50, 4).double(), torch.randint(3, (50,))))

    return loss(nn.ReLU()), loss(nn.Softplus(sharpness))


@pytest.mark.parametrize("criterion", [taylor1, taylor2])
def test_it_is_the_score_of_the_smooth_twin(criterion) -> None:  # pyright: ignore[reportMissingParameterType]
    sharp, smooth = losses()
    sharp.per_example()  # what is kept of the network with ReLUs must not be taken for the other
    plain = criterion(sharp, ALIVE)
    found = Surrogate(criterion, 7.0)(sharp, ALIVE)
    assert torch.allclose(found, criterion(smooth, ALIVE), rtol=1e-12, atol=1e-12)
    assert (found - plain).abs().max() > 0.01
    assert torch.equal(criterion(sharp, ALIVE), plain)  # nothing of it stays


def test_the_papers_recursion_sees_the_smooth_twin_too() -> None:
    """Its s' and s'' are those of softplus, not of the ReLU that the graph names."""
    one_hot = torch.eye(3).double()
    sharp, smooth = (GatedLoss(loss.model, (loss.examples.args[0], one_hot[loss.targets]), "sse") for loss in losses())
    assert torch.allclose(Surrogate(taylor2_paper, 7.0)(sharp, ALIVE), taylor2_paper(smooth, ALIVE), rtol=1e-12)


def test_sharp_enough_it_is_relu() -> None:
    sharp, _ = losses()

    def distance(sharpness: float) -> Tensor:
        return (Surrogate(taylor1, sharpness)(sharp, ALIVE) - taylor1(sharp, ALIVE)).abs().max()

    assert distance(1e5) < 1e-3 < distance(10)


def test_in_the_registry() -> None:
    sharp, _ = losses()
    assert torch.equal(resolve("taylor2_softplus")(sharp, ALIVE), Surrogate(taylor2, 10.0)(sharp, ALIVE))


def test_refusals() -> None:
    for sharpness in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="expected a positive number"):
            Surrogate(taylor2, sharpness)
    with pytest.raises(OptionError, match="the oracle measures"):
        Surrogate(resolve("oracle"))
