"""The proof of a cut finds what is wrong, and lets be what is right."""

from __future__ import annotations

import copy

import pytest
import torch
from cases import BY_NAME
from torch import Tensor, nn

import secateur as sc
from secateur.errors import CutMismatch, NonFiniteError, UnitError
from secateur.surgery import CutWarning

CASE = BY_NAME["conv"]
UNITS = ["conv1:1", "conv2:0", "fc1:3"]


@pytest.fixture(scope="module")
def small() -> nn.Module:
    return sc.cut(CASE.model(), UNITS, CASE.x())


def test_the_right_one(small: nn.Module) -> None:
    assert sc.verify(small, CASE.model(), UNITS, CASE.x()) <= 1e-12


def test_in_float32() -> None:
    model, x = CASE.model(torch.float32), CASE.x(torch.float32)
    assert 0 < sc.verify(sc.cut(model, UNITS, x), model, UNITS, x) <= 1e-5


def test_flags_are_left_alone(small: nn.Module) -> None:
    model = CASE.model().train()
    other = copy.deepcopy(small).train()
    other.get_submodule("bn1").eval()
    sc.verify(other, model, UNITS, CASE.x())
    assert model.training
    assert other.training
    assert not other.get_submodule("bn1").training


class TestMismatch:
    def test_the_whole_network(self) -> None:
        with pytest.raises(CutMismatch, match=r"differ from the gated one's by .* of the largest; allowed 1e-12"):
            sc.verify(CASE.model(), CASE.model(), UNITS, CASE.x())

    def test_other_units(self, small: nn.Module) -> None:
        with pytest.raises(CutMismatch):
            sc.verify(small, CASE.model(), ["conv1:0", "conv2:0", "fc1:3"], CASE.x())

    def test_one_weight_a_little_off(self, small: nn.Module) -> None:
        other = copy.deepcopy(small)
        with torch.no_grad():
            other.get_submodule("fc2").bias[0] += 1e-10
        with pytest.raises(CutMismatch):
            sc.verify(other, CASE.model(), UNITS, CASE.x())

    def test_another_shape(self) -> None:
        with pytest.raises(CutMismatch, match=r"answers with shape \(10, 720\), the gated one \(10, 3\)"):
            sc.verify(nn.Sequential(nn.Flatten(), Cut(720)), CASE.model(), UNITS, CASE.x())

    def test_a_network_that_does_not_run(self) -> None:
        with pytest.raises(CutMismatch, match="does not run"):
            sc.verify(nn.Linear(2, 3).double(), CASE.model(), UNITS, CASE.x())

    def test_not_a_number(self, small: nn.Module) -> None:
        other = copy.deepcopy(small)
        with torch.no_grad():
            other.get_submodule("fc2").bias[0] = torch.nan
        with pytest.raises(CutMismatch, match="by nan"):
            sc.verify(other, CASE.model(), UNITS, CASE.x())

    def test_the_gated_network_overflows(self) -> None:
        model = CASE.model()
        with torch.no_grad():
            model.get_submodule("fc2").bias[0] = torch.inf
        with pytest.raises(NonFiniteError, match="gated network answers with NaN or infinity"):
            sc.cut(model, UNITS, CASE.x())


class Cut(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat(1, 4)[:, : self.width]


def test_no_such_unit(small: nn.Module) -> None:
    with pytest.raises(UnitError, match="no unit is called 'conv9:0'"):
        sc.verify(small, CASE.model(), ["conv9:0"], CASE.x())


def test_a_wrong_cut_that_a_last_layer_of_zeros_would_hide() -> None:
    """A network whose last layer starts at zero answers 0 whatever is cut; the proof must not rest on that."""

    class Lying(nn.Module):
        """Code that sums the first two of its hidden values: a slice with a number in it."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(3, 6), nn.Linear(2, 2)
            self.last = nn.Linear(2, 2)
            nn.init.zeros_(self.last.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.fc2(torch.tanh(self.fc1(x))[:, :2])))

    torch.manual_seed(0)
    model, x = Lying().double().eval(), torch.randn(4, 3, dtype=torch.float64)
    with pytest.warns(CutWarning):
        small = sc.cut(model, ["fc1:0"], x)
    assert isinstance(small, torch.fx.GraphModule)
