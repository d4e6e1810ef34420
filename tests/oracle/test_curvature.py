"""The closed form of second derivatives against automatic differentiation of the whole network."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from secateur.criteria import CRITERIA
from secateur.errors import CriterionError
from secateur.gated import GatedLoss
from secateur.oracle.curvature import chain_behind, second_derivatives
from secateur.oracle.tail import find_fronts


def sizes(*widths: int, between: tuple[type[nn.Module], ...] = (nn.Tanh,)) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for at, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(wide, narrow), *([kind() for kind in between] if at < len(widths) - 2 else [])]
    return layers


NETWORKS = {
    "one hidden layer": (sizes(6, 7, 3), "mse"),
    "two hidden layers": (sizes(6, 7, 5, 3, between=(nn.Sigmoid,)), "cross_entropy"),
    "three hidden layers": (sizes(6, 7, 5, 6, 3, between=(nn.GELU,)), "mse"),
    "an activation on the answer": ([*sizes(6, 7, 5, 3), nn.Sigmoid()], "sse"),
    "two activations in a row": (sizes(6, 7, 5, 3, between=(nn.Tanh, nn.Softplus)), "mse"),
    "no activation": (sizes(6, 7, 5, 3, between=()), "cross_entropy"),
    "kinks": (sizes(6, 7, 5, 3, between=(nn.ReLU,)), "cross_entropy"),
    "more outputs than candidates": (sizes(6, 4, 9, 8, 3), "mse"),
    "softmax behind": ([*sizes(6, 7, 5, 3), nn.Softmax(1)], "mse"),
    "more behind": (
        [*sizes(6, 7, 5, 6), nn.LayerNorm(6), nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 3, 3), nn.Flatten()],
        "cross_entropy",
    ),
    "several columns a unit": (
        [nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), *sizes(16, 6, 5, 3)],
        "cross_entropy",
    ),
    "several columns a unit, an activation at once": (
        [nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3), nn.Sigmoid()],
        "bce",
    ),
    "several columns a unit, the answer at once": (
        [nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)],
        "mse",
    ),
}


def loss_of(name: str, off: str, *, tile: int = 40) -> GatedLoss:
    layers, loss = NETWORKS[name]
    torch.manual_seed(5)
    model = nn.Sequential(*layers).double().eval()
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.7)
    x, classes = torch.randn(90, 6).double(), torch.randint(3, (90,))
    values = torch.nn.functional.one_hot(classes, 3).double()
    target = classes if loss == "cross_entropy" else values
    return GatedLoss(model, (x, target), loss, off=off, tile=tile)


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_closed_form_is_the_derivative(name: str, off: str) -> None:
    """At all units on, and in a network that has lost some."""
    loss = loss_of(name, off)
    everything = torch.arange(len(loss.units))
    fronts = find_fronts(loss.network, everything.tolist())
    assert chain_behind(loss, fronts[-1]), "the closed form must be what is tested"
    for alive in (everything, everything[::2]):
        gates = loss.gates(alive)
        expected = loss.curvature(gates, alive)
        found = second_derivatives(loss, gates, alive)
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))
        assert float(expected.abs().max()) > 1e-3


def test_candidates_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit the memory is cut into parts; the numbers stay."""
    loss = loss_of("several columns a unit", "zero")
    units = torch.arange(len(loss.units))
    whole = second_derivatives(loss, loss.gates(), units)
    monkeypatch.setattr(type(loss.memory), "at_once", lambda self, elements: 2)
    assert torch.allclose(second_derivatives(loss, loss.gates(), units), whole, rtol=1e-12)


def test_many_threads_at_once() -> None:
    """Tiles run side by side in threads, which share torch's levels of forward derivatives: a criterion that used those
    gave wrong numbers there, silently."""
    case = loss_of("an activation on the answer", "zero", tile=3)
    units = torch.arange(len(case.units))
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 4):
            torch.set_num_threads(count)
            found.append(
                [
                    case.curvature(),
                    case.gradient(),
                    second_derivatives(case, case.gates(), units),
                    CRITERIA["taylor2_paper"](case, units),
                ]
            )
    finally:
        torch.set_num_threads(threads)
    for alone, together in zip(*found, strict=True):
        assert torch.allclose(alone, together, rtol=1e-12, atol=1e-12)


def test_a_chain_ends_where_it_branches() -> None:
    """What is read twice, also as the answer, must be its end: another way past it would be forgotten."""

    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 4), nn.Linear(4, 3), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.tanh(self.b(torch.tanh(self.a(x))))
            return self.c(hidden) * torch.sigmoid(hidden)

    torch.manual_seed(0)
    loss = GatedLoss(Branching().double().eval(), (torch.randn(30, 6).double(), torch.randint(3, (30,))))
    units = torch.arange(4)
    (front,) = find_fronts(loss.network, units.tolist())
    chain = chain_behind(loss, front)
    assert chain is not None
    assert [str(node.target) for node in chain] == ["aten.linear.default", "aten.tanh.default"]
    found, expected = second_derivatives(loss, loss.gates(), units), loss.curvature(units=units)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_other_networks_have_no_chain() -> None:
    """Two readers, and a reader that is a convolution: two backward passes serve those, and agree too."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 4), nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            hidden = torch.tanh(self.a(x))
            return self.b(hidden) * torch.sigmoid(self.c(hidden))

    torch.manual_seed(0)
    convolutions = nn.Sequential(nn.Conv1d(1, 3, 3), nn.Tanh(), nn.Conv1d(3, 2, 4), nn.Flatten())
    for model, x in ((Twice(), torch.randn(30, 6)), (convolutions, torch.randn(30, 1, 6))):
        data = x.double(), torch.randint(2, (30,))
        loss = GatedLoss(model.double().eval(), data, "cross_entropy")
        units = torch.arange(len(loss.units))
        assert not any(chain_behind(loss, front) for front in find_fronts(loss.network, units.tolist()))
        assert torch.allclose(second_derivatives(loss, loss.gates(), units), loss.curvature(), rtol=1e-9, atol=1e-12)


def test_what_broadcasts_is_no_activation() -> None:
    """One number for many: its slope is a sum, not an element's."""

    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 4), nn.Linear(4, 1), nn.Linear(5, 3)
            self.factors = nn.Parameter(torch.randn(5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.c(torch.tanh(torch.tanh(self.b(torch.tanh(self.a(x)))) * self.factors))

    torch.manual_seed(0)
    loss = GatedLoss(Spread().double().eval(), (torch.randn(30, 6).double(), torch.rand(30, 3).double()), "sse")
    units = torch.arange(4)
    found, expected = second_derivatives(loss, loss.gates(), units), loss.curvature(units=units)
    assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)
    with pytest.raises(CriterionError, match="plain chain"):
        CRITERIA["taylor2_paper"](loss, units)
