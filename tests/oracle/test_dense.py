"""The compiled loop of dense tails against the reference engine: every activation, every loss, whatever is off."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from cases import CASES, Case, gated
from torch import Tensor, nn

from secateur.errors import NonFiniteError
from secateur.gated import GatedLoss
from secateur.oracle import exact, reference
from secateur.oracle.changes import Changes
from secateur.oracle.dense import ACTIVATIONS, Dense
from secateur.oracle.tail import find_fronts

MODULES: dict[str, nn.Module] = {
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(0.2),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU(),
    "gelu_tanh": nn.GELU(approximate="tanh"),
    "softplus": nn.Softplus(beta=2, threshold=1.5),
    "elu": nn.ELU(0.7),
}


def perceptron(activation: nn.Module, *widths: int, last: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(len(widths))
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation]
    layers = layers[:-1] + ([] if last is None else [last])
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 1.5 / math.sqrt(layer.in_features))
            nn.init.normal_(layer.bias, 0, 0.5)
    return nn.Sequential(*layers)


def targets(kind: str, examples: int, outputs: int) -> Tensor:
    torch.manual_seed(2)
    if kind == "classes":
        return torch.randint(outputs, (examples,))
    return torch.rand(examples, outputs, dtype=torch.float64).softmax(1)


def assert_agrees(loss: GatedLoss, gates: Tensor, dense: int) -> None:
    """The engine's sums, and each example's changes, are the reference's; so many fronts ran in the compiled loop."""
    units = gates.nonzero().flatten()
    changes = Changes(loss, gates, units)
    assert sum(front is not None for front in changes.dense) == dense
    expected = reference(loss, gates, units)
    slack = loss.tolerance * (2 * loss.per_example(gates).abs().sum() + expected.abs())
    assert bool(((exact(loss, gates, units) - expected).abs() <= slack).all())
    assert bool(((loss.collect(lambda tile: changes.rows(tile).T).sum(0) - expected).abs() <= slack).all())


def test_every_activation_is_tried() -> None:
    assert {f"aten.{name.removesuffix('_tanh')}.default" for name in MODULES} == set(ACTIVATIONS)


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("activation", MODULES)
def test_activations(activation: str, dtype: torch.dtype, off: Any) -> None:
    """Three hidden layers of odd widths, more examples than a block holds, a third of the units off."""
    model = perceptron(MODULES[activation], 5, 13, 7, 9, 3).to(dtype).eval()
    x = torch.randn(150, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)
    loss = GatedLoss(model, (x, targets("classes", 150, 3)), off=off, tile=100)
    assert_agrees(loss, loss.gates(), dense=3)
    gates = loss.gates()
    gates[::3] = 0
    assert_agrees(loss, gates, dense=3)


@pytest.mark.parametrize("last", [None, nn.Sigmoid(), nn.Tanh()], ids=["linear", "sigmoid", "tanh"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cross_entropy", "classes"),
        ("cross_entropy", "values"),
        ("sse", "classes"),
        ("sse", "values"),
        ("mse", "values"),
        ("bce", "values"),
        ("bce", "classes"),
        ("self", "values"),
    ],
)
def test_losses(name: str, kind: str, last: nn.Module | None) -> None:
    model = perceptron(nn.ReLU(), 4, 10, 6, 5, last=last).double().eval()
    x = torch.randn(70, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = GatedLoss(model, (x, targets(kind, 70, 5)), name)
    gates = loss.gates()
    gates[1:5] = 0  # under "self" nothing that is on changes at first
    assert_agrees(loss, gates, dense=2)


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_of_every_network(case: Case, off: Any) -> None:
    """Sums and single examples, in the compiled loop or not; a third of the units off."""
    if off == "mean" and str(case) == "shared":
        pytest.skip("it has no unit whose mean can move into a bias")
    loss = gated(case, off=off)
    gates = loss.gates()
    gates[1::3] = 0
    changes = Changes(loss, gates, gates.nonzero().flatten())
    assert_agrees(loss, gates, dense=sum(front is not None for front in changes.dense))


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model = perceptron(nn.ReLU(), 6, 20, 10, 4).eval()
    x = torch.randn(700, 6, generator=torch.Generator().manual_seed(1))
    loss = GatedLoss(model, (x, targets("classes", 700, 4)), tile=512)
    units, found = torch.arange(30), []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(exact(loss, loss.gates(), units))
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_is_named(value: float) -> None:
    """Without unit 0, which alone tames it, an activation of example 2 overflows."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 2)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model[0].weight.fill_(1.0)
        model[2].weight.copy_(torch.tensor([[-1e308, 1e308]], dtype=torch.float64))
        model[4].weight.fill_(1e10 if math.isinf(value) else 1e300)
        if math.isnan(value):
            model[4].weight[1] = -1e300
    x = torch.tensor([[0.0], [0.0], [1.5]], dtype=torch.float64)
    loss = GatedLoss(model, (x, torch.tensor([0, 1, 0])))
    for engine in (exact, reference):
        with pytest.raises(NonFiniteError, match="loss of example 2 is NaN or infinite"):
            engine(loss, loss.gates(), torch.arange(2))


def test_a_branch_is_not_dense() -> None:
    """A tail that is no chain is left to torch."""

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.middle, self.last = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.middle(torch.relu(self.first(x))))
            return self.last(h) + self.last(torch.tanh(h))

    x = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    loss = GatedLoss(Branch().double().eval(), (x, targets("classes", 9, 2)))
    (front, *_) = find_fronts(loss.network, [0, 1])
    assert Dense.of(loss, loss.gates(), front) is None
    assert_agrees(loss, loss.gates(), dense=0)
