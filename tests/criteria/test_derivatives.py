"""First and second derivatives against central differences of a plain network whose readers' columns are scaled."""

from __future__ import annotations

import copy

import brute
import pytest
import torch
from cases import BY_NAME, CASES, Case, gated, ones, scaled
from torch import Tensor, nn

from secateur import oracle
from secateur.criteria import CRITERIA
from secateur.gated import GatedLoss
from secateur.oracle.curvature import second_derivatives

SMOOTH = [case for case in CASES if case.smooth]
KINKED = [case for case in CASES if not case.smooth]
STEP = 1e-2
"""Of the gates. Five points: an error of the order of STEP^4, and rounding of 1e-16 / STEP^2."""

NARROW = 1e-3
"""Where the step must not cross a kink."""


def differences(errors: dict[int, float], step: float) -> tuple[float, float]:
    """First and second derivative from E at 1 - 2h, 1 - h, 1, 1 + h, 1 + 2h."""
    first = (errors[-2] - 8 * errors[-1] + 8 * errors[1] - errors[2]) / (12 * step)
    second = (-errors[-2] + 16 * errors[-1] - 30 * errors[0] + 16 * errors[1] - errors[2]) / (12 * step**2)
    return first, second


def central(case: Case, model: nn.Module, unit: str, step: float) -> tuple[Tensor, Tensor]:
    """Of the error of each example, by the gate of the unit."""
    errors = {k: brute.losses(case, scaled(model, [case.columns(unit)], 1 + k * step)) for k in range(-2, 3)}
    first, second = differences(errors, step)
    return first, second


def close(found: Tensor, expected: Tensor, relative: float) -> bool:
    """To a part of the largest of all the units' derivatives: a difference quotient has an error of that size."""
    return bool((found - expected).abs().max() <= relative * expected.abs().max().clamp_min(1e-3))


def pruned(case: Case) -> tuple[nn.Module, Tensor, list[str]]:
    """The network without every fourth unit, plainly; the gates that say so; and what is left."""
    names = case.names()
    gone = names[1::4]
    gates = torch.tensor([float(name not in gone) for name in names], dtype=torch.float64)
    return brute.off(case, case.model(), gone), gates, [name for name in names if name not in gone]


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_derivatives_of_smooth_networks(case: Case) -> None:
    """In a network of which some units are off already; all routes to the same numbers."""
    loss = gated(case)
    model, gates, left = pruned(case)
    alive = gates.nonzero().flatten()
    quotients = [central(case, model, unit, STEP) for unit in left]
    first = torch.stack([slope.sum() for slope, _ in quotients])
    second = torch.stack([curvature.sum() for _, curvature in quotients])
    assert close(loss.gradient(gates)[alive], first, 1e-6)
    assert close(loss.curvature(gates, alive), second, 1e-5)
    assert close(second_derivatives(loss, gates, alive), second, 1e-5)
    assert torch.equal(CRITERIA["taylor1"](loss, alive), -loss.gradient(gates)[alive])
    assert close(CRITERIA["taylor1"](loss, alive), -first, 1e-6)
    assert close(CRITERIA["taylor2"](loss, alive), -first + second / 2, 1e-5)
    # Two exact routes, no difference quotient between them.
    assert close(second_derivatives(loss, gates, alive), loss.curvature(gates, alive), 1e-10)


def signs(model: nn.Module, case: Case) -> Tensor:
    """(examples, ...): on which side of every kink each example lies: the sign of all that goes into or comes out of a
    layer, and which position a pooling chose."""
    found: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.extend((inputs[0] > 0, output > 0))
        if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d)):
            again = copy.copy(module)
            again.return_indices = True
            found.append(again.forward(inputs[0])[1])

    handles = [module.register_forward_hook(look) for module in model.modules() if not list(module.children())]
    case.answer(model, case.x())
    for handle in handles:
        handle.remove()
    return torch.cat([value.flatten(1).long() for value in found], 1)


@pytest.mark.parametrize("case", KINKED, ids=str)
def test_derivatives_of_networks_with_kinks(case: Case) -> None:
    """On the examples of which nothing changes its side within the step, for any unit."""
    model = case.model()
    before = signs(model, case)
    steady = torch.ones(case.examples, dtype=torch.bool)
    for unit in case.names():
        for k in (-2, 2):
            steady &= (signs(scaled(model, [case.columns(unit)], 1 + k * NARROW), case) == before).all(1)
    assert int(steady.sum()) >= 3, "too few examples left to say anything"
    fields = {key: value[steady] for key, value in case.data().items()} if case.keywords else None
    loss = gated(case).on(fields or tuple(value[steady] for value in case.data()))
    quotients = [central(case, model, unit, NARROW) for unit in case.names()]
    first = torch.stack([slope[steady].sum() for slope, _ in quotients])
    second = torch.stack([curvature[steady].sum() for _, curvature in quotients])
    everything = torch.arange(len(loss.units))
    assert close(loss.gradient(), first, 1e-6)
    assert close(loss.curvature(), second, 1e-4)
    assert close(second_derivatives(loss, loss.gates(), everything), second, 1e-4)
    assert close(CRITERIA["taylor2"](loss, everything), -first + second / 2, 1e-4)


@pytest.mark.parametrize("name", ["gelu", "conv_smooth", "dense", "squeeze_excite", "chunk"])
def test_derivatives_with_off_mean(name: str) -> None:
    """Against differences of E itself, which test_brute_force holds to the truth."""
    loss = gated(BY_NAME[name], off="mean")
    everything = torch.arange(len(loss.units))
    slopes, curvatures = [], []
    for unit in everything.tolist():
        errors = {}
        for k in range(-2, 3):
            gates = loss.gates()
            gates[unit] += k * STEP
            errors[k] = float(loss(gates))
        slope, curvature = differences(errors, STEP)
        slopes.append(slope)
        curvatures.append(curvature)
    assert close(loss.gradient(), torch.tensor(slopes, dtype=torch.float64), 1e-6)
    assert close(
        second_derivatives(loss, loss.gates(), everything), torch.tensor(curvatures, dtype=torch.float64), 1e-5
    )


def test_derivatives_can_be_found_wrong() -> None:
    """The comparison can fail: were a cross term forgotten, as by the paper's recursion, it would be seen."""
    case = BY_NAME["sigmoid"]
    loss, everything = gated(case), torch.arange(13)
    second = torch.stack([central(case, case.model(), unit, STEP)[1].sum() for unit in case.names()])
    paper = 2 * (CRITERIA["taylor2_paper"](loss, everything) - CRITERIA["taylor1"](loss, everything))
    assert not close(paper, second, 1e-2)


def test_curvature_takes_units_in_chunks() -> None:
    loss = gated(BY_NAME["dense"])
    whole = loss.curvature()
    assert torch.allclose(loss.curvature(chunk=2), whole, rtol=1e-12, atol=1e-14)
    assert torch.equal(loss.curvature(units=torch.tensor([5, 1])), whole[[5, 1]])


def test_derivatives_with_a_users_own_loss() -> None:
    case = BY_NAME["gelu"]
    own = GatedLoss(
        case.model(), case.data(), lambda output, batch: nn.functional.cross_entropy(output, batch[1], reduction="none")
    )
    everything = torch.arange(13)
    for found, expected in (
        (own.gradient(), gated(case).gradient()),
        (own.curvature(), gated(case).curvature()),
        (second_derivatives(own, own.gates(), everything), gated(case).curvature()),
    ):
        assert close(found, expected, 1e-12)


@pytest.mark.parametrize("name", ["gelu", "conv_smooth"])
def test_derivatives_in_float32(name: str) -> None:
    """In a network's own precision, to its rounding."""
    double, single = gated(BY_NAME[name]), gated(BY_NAME[name], torch.float32)
    everything = torch.arange(len(double.units))
    assert single.gradient().dtype == torch.float64
    assert close(single.gradient(), double.gradient(), 1e-4)
    assert close(second_derivatives(single, single.gates(), everything), double.curvature(), 1e-3)


# -------------------------------------------------------------------------- equal to the oracle where theory says so


def linear_in_gates() -> GatedLoss:
    """The answer of a linear network, as a user's own loss: E is a sum of gates, so its slope is the whole truth."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 1)).double().eval()
    return GatedLoss(model, torch.randn(8, 4).double(), lambda output, batch: output.sum(1))


@pytest.mark.parametrize("name", ["taylor1", "taylor2"])
def test_equal_to_the_oracle_where_the_error_is_linear(name: str) -> None:
    loss = linear_in_gates()
    everything = torch.arange(6)
    truth = oracle.reference(loss, loss.gates(), everything)
    assert close(CRITERIA[name](loss, everything), truth, 1e-12)


def test_equal_to_the_oracle_where_the_error_is_quadratic() -> None:
    """The last hidden layer, under squared error of a linear output: a parabola in each gate. The first order is not
    enough there."""
    model = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 3)).double().eval()
    loss = GatedLoss(model, (torch.randn(8, 4).double(), torch.rand(8, 3).double()), "sse")
    alive = torch.tensor([0, 2, 3, 5])
    truth = oracle.reference(loss, loss.gates(alive), alive)
    for name in ("taylor2", "taylor2_paper"):
        assert close(CRITERIA[name](loss, alive), truth, 1e-12)
    assert not close(CRITERIA["taylor1"](loss, alive), truth, 1e-2)


@pytest.mark.parametrize(
    ("sizes", "slope", "curvature"), [((1, 2, 1), 2.0, 1.0), ((1, 3, 1), 3.0, 1.0), ((1, 2, 2, 1), 8.0, 4.0)]
)
def test_weights_of_ones(sizes: tuple[int, ...], slope: float, curvature: float) -> None:
    """1-2-1: E = 1/2 (g0 + g1)^2. 1-3-1: three of them. 1-2-2-1: E = 1/2 ((g0 + g1) (g2 + g3))^2, slope 4 * 2, and
    curvature (g2 + g3)^2."""
    loss = GatedLoss(ones(*sizes).double().eval(), (torch.ones(1, 1).double(), torch.zeros(1, 1).double()), "sse")
    count = len(loss.units)
    assert loss.gradient().tolist() == [slope] * count
    assert loss.curvature().tolist() == [curvature] * count
    assert CRITERIA["taylor1"](loss, torch.arange(count)).tolist() == [-slope] * count
    assert CRITERIA["taylor2"](loss, torch.arange(count)).tolist() == [-slope + curvature / 2] * count
