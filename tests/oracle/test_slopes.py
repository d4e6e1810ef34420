"""Single examples: the change of each loss by brute force, and its first-order estimate by differences."""

from __future__ import annotations

import copy

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated
from torch import Tensor, nn

from secateur import oracle
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.oracle.prediction import slope_and_curvature
from secateur.oracle.sampling import changes_at
from secateur.oracle.slopes import slopes


def thinned(loss: GatedLoss) -> tuple[Tensor, Tensor]:
    """Gates with every third unit off, and the units that are on."""
    gates = loss.gates()
    gates[::3] = 0.0
    return gates, gates.nonzero().flatten()


def tiled(loss: GatedLoss, tile: int) -> GatedLoss:
    """The same E(g) in other tiles."""
    other = copy.copy(loss)
    other.tile = tile
    return other.on(loss.examples.fields)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_changes_of_chosen_examples_are_those_of_brute_force(case: Case) -> None:
    loss = gated(case)
    gates, units = thinned(loss)
    examples = torch.tensor([7, 2, 3, 2])
    on = loss.per_example(gates)
    found = changes_at(loss, gates, units, examples)
    assert found.shape == (len(units), 4)
    for at, unit in enumerate(units.tolist()):
        without = loss.per_example(gates.index_fill(0, torch.tensor([unit]), 0.0))
        assert torch.allclose(found[at], (without - on)[examples], rtol=0, atol=1e-12)


@pytest.mark.parametrize("tile", [1, 3, 512])
def test_changes_do_not_depend_on_the_tile(tile: int) -> None:
    loss = gated(BY_NAME["conv"])
    gates, units = thinned(loss)
    found = changes_at(tiled(loss, tile), gates, units, torch.arange(9, -1, -1))
    assert torch.allclose(found.sum(1), oracle.reference(loss, gates, units), rtol=0, atol=1e-12)


def test_changes_of_nothing() -> None:
    loss = gated(BY_NAME["relu"])
    assert changes_at(loss, loss.gates(), torch.arange(0), torch.arange(3)).shape == (0, 3)
    assert changes_at(loss, loss.gates(), torch.arange(2), torch.arange(0)).shape == (2, 0)


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", [case for case in CASES if case.smooth and case.name != "functional"], ids=str)
def test_slopes_are_differences_of_each_example(case: Case, off: str) -> None:
    if off == "mean" and case.name in ("shared", "layer_scale", "upsampling", "residual"):
        pytest.skip("some of its means can't move into a bias")
    loss = gated(case, off=off)
    gates, units = thinned(loss)
    found, step = slopes(loss, gates), 1e-5
    assert torch.allclose(found.on, loss.per_example(gates), rtol=0, atol=1e-12)
    for unit in units.tolist():
        nudge = step * torch.nn.functional.one_hot(torch.tensor(unit), len(gates))
        difference = (loss.per_example(gates - nudge) - loss.per_example(gates + nudge)) / (2 * step)
        assert torch.allclose(found.first[:, unit], difference, rtol=1e-6, atol=1e-8)
    assert not bool(found.first[:, gates == 0].any())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slopes_add_up_to_the_gradient(case: Case) -> None:
    loss = gated(case)
    gates, units = thinned(loss)
    expected = -loss.gradient(gates)[units]
    for tile in (4, 512):
        other = tiled(loss, tile)
        assert torch.allclose(slopes(other, gates).first.sum(0)[units], expected, rtol=0, atol=1e-12)
        assert torch.allclose(slope_and_curvature(other, gates)[0][units], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "bce", "softmax", "siamese", "tokens"])
def test_sampled_curvature_has_the_gauss_newton_mean(name: str) -> None:
    """Over many draws: half of sum_n J' H J, with J by automatic differentiation."""
    case = BY_NAME[name]
    loss = gated(case)
    gates = loss.gates()
    inputs = next(loss.tiles())
    jacobian = torch.autograd.functional.jacobian(lambda g: loss.network(inputs.inputs, g), gates)
    output = loss.outputs(gates)
    hessian = torch.stack(
        [
            torch.autograd.functional.hessian(
                lambda z, n=n: loss.losses(torch.cat((output[:n], z[None], output[n + 1 :])), inputs).sum(), output[n]
            ).reshape(output[n].numel(), -1)
            for n in range(len(output))
        ]
    )
    flat = jacobian.reshape(len(output), -1, len(gates))
    expected = torch.einsum("ncu,ncd,ndu->u", flat, hessian, flat) / 2
    draws = torch.stack([slope_and_curvature(loss, gates, seed)[1] for seed in range(200)])
    error = draws.std(0) / 200**0.5
    assert bool(((draws.mean(0) - expected).abs() <= 5 * error + 1e-12).all())
    assert torch.equal(slope_and_curvature(loss, gates, 7)[1], draws[7])


class Sequences(nn.Module):
    """Positions first behind the first layer, or put together with the examples."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.a, self.b = how, nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.a(x))
        if self.how == "first":
            return self.b(hidden.permute(1, 0, 2)).mean(0)
        return self.b(hidden.reshape(-1, 6)).reshape(-1, x.shape[1], 3).mean(1)


@pytest.mark.parametrize("positions", [5, 8])
def test_positions_before_examples(positions: int) -> None:
    """As many positions as examples must not be taken for them."""
    torch.manual_seed(0)
    x, y = torch.randn(8, positions, 4).double(), torch.randint(3, (8,))
    loss = GatedLoss(Sequences("first").double().eval(), (x, y))
    alone = [-loss.on((x[n : n + 1], y[n : n + 1])).gradient() for n in range(8)]
    assert torch.allclose(slopes(loss, loss.gates()).first, torch.stack(alone), rtol=1e-12, atol=1e-14)


def test_examples_without_a_dimension_of_their_own_are_refused() -> None:
    loss = GatedLoss(Sequences("together").double().eval(), (torch.randn(8, 5, 4).double(), torch.randint(3, (8,))))
    with pytest.raises(OptionError, match=r'lazy and racing look at every example alone.*Use engine="exact"'):
        slopes(loss, loss.gates())
