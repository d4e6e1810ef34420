"""The paper's recursion, against the same written out for one example and one unit at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import BY_NAME, gated
from numpy.typing import NDArray
from torch import Tensor, nn

from secateur import zoo
from secateur.criteria import CRITERIA
from secateur.criteria.taylor1 import taylor1
from secateur.criteria.taylor2 import taylor2
from secateur.criteria.taylor2_paper import taylor2_paper
from secateur.errors import CriterionError
from secateur.gated import GatedLoss

Array = NDArray[np.float64]


def s(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def recursion(
    weights: list[Array], biases: list[Array], x: Array, target: Array, gates: Array, softmax: bool = False
) -> list[float]:
    """PAPER.md, definitions, in its own notation: o output, x input of a unit, w_ji weight from j to i; sigmoids, and a
    softmax as the answer where that is said."""
    scores = np.zeros(len(gates))
    splits = np.cumsum([len(bias) for bias in biases[:-1]])[:-1]
    layers = np.split(gates, splits)
    positions = np.split(np.arange(len(gates)), splits)
    for o, t in zip(x, target, strict=True):
        inputs, outputs, read = [], [], [o]
        for depth, (w, b) in enumerate(zip(weights, biases, strict=True)):
            inputs.append(w @ read[-1] + b)
            outputs.append(s(inputs[-1]))
            read.append(outputs[-1] * layers[depth] if depth < len(layers) else outputs[-1])
        if softmax:
            outputs[-1] = np.exp(inputs[-1]) / np.exp(inputs[-1]).sum()
        do, d2o = outputs[-1] - t, np.ones_like(t)
        for depth in range(len(weights) - 1, 0, -1):
            slope = s(inputs[depth]) * (1 - s(inputs[depth]))
            bend = slope * (1 - 2 * s(inputs[depth]))
            dx, d2x = do * slope, d2o * slope**2 + do * bend
            if softmax and depth == len(weights) - 1:
                o = outputs[-1]
                jacobian = np.diag(o) - np.outer(o, o)
                dx, d2x = jacobian @ do, np.diag(jacobian) ** 2 * d2o + np.diag(jacobian) * (1 - 2 * o) * do
            gate = layers[depth - 1]
            do, d2o = np.zeros_like(gate), np.zeros_like(gate)
            for j in range(len(gate)):
                for i in range(len(dx)):
                    w = weights[depth][i, j]
                    do[j] += dx[i] * w
                    d2o[j] += d2x[i] * w**2
                scores[positions[depth - 1][j]] += (
                    -outputs[depth - 1][j] * do[j] + 0.5 * outputs[depth - 1][j] ** 2 * d2o[j]
                )
            do, d2o = do * gate, d2o * gate**2  # what is off passes nothing back
    return scores.tolist()


@pytest.mark.parametrize("sizes", [(5, 6, 7, 3), (4, 5, 2), (3, 4, 4, 4, 2)])
@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_is_the_recursion(sizes: tuple[int, ...], pruned: bool, output: str) -> None:
    model = zoo.mlp(sizes, "sigmoid", output).double().eval()
    x, target = torch.randn(6, sizes[0]).double(), torch.rand(6, sizes[-1]).double()
    loss = GatedLoss(model, (x, target), "sse", tile=4)
    gates = torch.ones(len(loss.units), dtype=torch.float64)
    if pruned:
        gates[::3] = 0.0
    alive = gates.nonzero().flatten()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach().numpy() for layer in layers]
    biases = [layer.bias.detach().numpy() for layer in layers]
    expected = recursion(weights, biases, x.numpy(), target.numpy(), gates.numpy(), output == "softmax")
    found = taylor2_paper(loss, alive)
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64)[alive], rtol=1e-11, atol=1e-14)


def test_equals_taylor2_for_the_last_hidden_layer_and_differs_before() -> None:
    """The 5-6-7-3 net of sigmoids with squared error: exact for the 7, wrong for the 6."""
    loss = gated(BY_NAME["sigmoid"])
    everything = torch.arange(13)
    paper, exact = taylor2_paper(loss, everything), taylor2(loss, everything)
    assert torch.allclose(paper[6:], exact[6:], rtol=1e-12, atol=0)
    apart = (paper[:6] - exact[:6]).abs()
    assert bool((apart > 1e-3 * (exact - taylor1(loss, everything)).abs().max()).any())
    # its first-order part is exact everywhere: only the second derivatives part ways
    second, of_paper = loss.curvature(), 2 * (paper - taylor1(loss, everything))
    assert not torch.allclose(of_paper[:6], second[:6], rtol=0.1)
    assert bool((of_paper[:6] * second[:6] < 0).any()) or bool((of_paper[:6] / second[:6] - 1).abs().max() > 0.5)


@pytest.mark.parametrize("activation", ["tanh", "softplus", "gelu", "relu"])
def test_any_activation_and_a_linear_output(activation: str) -> None:
    """Exact for the last hidden layer whatever the activation."""
    model = zoo.mlp((4, 5, 6, 2), activation).double().eval()
    loss = GatedLoss(model, (torch.randn(7, 4).double(), torch.rand(7, 2).double()), "sse")
    everything, last = torch.arange(11), slice(5, 11)
    assert torch.allclose(
        taylor2_paper(loss, everything)[last], taylor2(loss, everything)[last], rtol=1e-10, atol=1e-13
    )


class Scaled(nn.Module):
    """A constant that is written before the value, and as long as the tile of examples is."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(3, 4), nn.Linear(4, 6), nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.linspace(0.5, 2.0, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.scale * torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))


@pytest.mark.parametrize("examples", [5, 6])
def test_a_scale_is_not_taken_for_the_value(examples: int) -> None:
    """The scores of all examples are the sum of those of each alone."""
    x, target = torch.randn(examples, 3).double(), torch.rand(examples, 2).double()
    loss = GatedLoss(Scaled().double().eval(), (x, target), "sse")
    everything = torch.arange(10)
    alone = [taylor2_paper(loss.on((x[n : n + 1], target[n : n + 1])), everything) for n in range(examples)]
    assert torch.allclose(taylor2_paper(loss, everything), torch.stack(alone).sum(0), rtol=1e-10, atol=1e-13)


class Batched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.tanh(self.fc1(x)))


@pytest.mark.parametrize("name", ["conv", "residual", "relu", "softmax", "layer_scale", "shared", "split", "conv1d"])
def test_does_not_apply_elsewhere(name: str) -> None:
    case = BY_NAME[name]
    loss = gated(case)
    if case.loss != "sse":
        with pytest.raises(CriterionError, match=rf"squared error and off='zero', not for loss='{case.loss}'.*taylor2"):
            taylor2_paper(loss, torch.arange(len(loss.units)))
        x, target = case.data()[:-1], torch.rand(case.examples, case.outputs).double()
        loss = GatedLoss(case.model(), (*x, target), "sse")
    if name in ("relu", "shared", "softmax"):  # plain chains, once the loss is squared error
        assert taylor2_paper(loss, torch.arange(len(loss.units))).isfinite().all()
        return
    with pytest.raises(CriterionError, match=r"plain chain of linear layers and activations; .* is neither.*taylor2"):
        taylor2_paper(loss, torch.arange(len(loss.units)))


@pytest.mark.parametrize("name", ["siamese", "functional"])
def test_only_what_lies_behind_the_first_readers_must_be_a_plain_chain(name: str) -> None:
    """The last hidden layer's units, whatever comes before them: exact."""
    loss = gated(BY_NAME[name])
    everything = torch.arange(6)
    assert torch.allclose(taylor2_paper(loss, everything), taylor2(loss, everything), rtol=1e-10, atol=1e-13)


def test_does_not_apply_to_tokens() -> None:
    loss = GatedLoss(Batched().double().eval(), (torch.randn(5, 4, 3).double(), torch.rand(5, 4, 2).double()), "sse")
    with pytest.raises(CriterionError, match="plain chain"):
        taylor2_paper(loss, torch.arange(4))


def test_does_not_apply_to_off_mean_nor_to_a_users_own_loss() -> None:
    with pytest.raises(CriterionError, match="off='mean'"):
        taylor2_paper(gated(BY_NAME["sigmoid"], off="mean"), torch.arange(13))
    case = BY_NAME["sigmoid"]
    own = GatedLoss(case.model(), case.data(), lambda output, batch: (output - batch[1]).square().sum(1) / 2)
    with pytest.raises(CriterionError, match="squared error"):
        taylor2_paper(own, torch.arange(13))


def test_class_indices_and_one_hot_targets_are_the_same() -> None:
    model = BY_NAME["sigmoid"].model()
    x, y = torch.randn(6, 5).double(), torch.randint(3, (6,))
    indices = GatedLoss(model, (x, y), "sse")
    dense = GatedLoss(model, (x, nn.functional.one_hot(y, 3).double()), "sse")
    assert torch.equal(CRITERIA["taylor2_paper"](indices, torch.arange(13)), taylor2_paper(dense, torch.arange(13)))
