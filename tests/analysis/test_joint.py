"""Many joint removals at once against the gated network, one set at a time."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated, measurable
from torch import Tensor

import secateur as sc
from secateur.analysis import joint_errors
from secateur.errors import NonFiniteError
from secateur.gated import GatedLoss

PRUNABLE = [case for case in CASES if case.reads and not case.large]


def random_sets(count: int, sets: int = 24) -> Tensor:
    """Of all sizes, nothing and everything among them."""
    off = torch.rand(sets, count) < torch.rand(sets, 1)
    off[0], off[-1] = False, True
    return off


def agree(loss: GatedLoss, found: Tensor, off: Tensor) -> bool:
    """docs/design.md, decision 2, for the errors of sets."""
    expected = torch.stack([loss.per_example(gates).sum() for gates in (~off).double()])
    scale = expected.abs() + float(loss.per_example().abs().sum())
    return bool(((found - expected).abs() <= loss.tolerance * scale).all())


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_is_the_error_with_those_gates(case: Case, off: str) -> None:
    loss = measurable(case, off)
    sets = random_sets(len(loss.units))
    assert agree(loss, joint_errors(loss, sets), sets)


@pytest.mark.parametrize("name", ["relu", "conv", "residual", "tokens"])
def test_in_float32(name: str) -> None:
    loss = gated(BY_NAME[name], torch.float32)
    sets = random_sets(len(loss.units))
    assert agree(loss, joint_errors(loss, sets), sets)


@pytest.mark.parametrize("name", ["sigmoid", "conv", "residual"])
def test_chunks_of_sets_do_not_matter(name: str) -> None:
    loss = copy.copy(gated(BY_NAME[name]))
    sets = random_sets(len(loss.units))
    whole = joint_errors(loss, sets)
    loss.memory = dataclasses.replace(loss.memory, working_set=1)
    assert torch.allclose(joint_errors(loss, sets), whole, rtol=1e-13)
    case = BY_NAME[name]
    assert torch.allclose(
        joint_errors(GatedLoss(case.model(), case.data(), case.loss, tile=3), sets), whole, rtol=1e-12
    )


def test_columns_for_some_units_in_any_order() -> None:
    loss = gated(BY_NAME["sigmoid"])
    chosen = [7, 0, 11, 3]
    some = random_sets(len(chosen), 9)
    sets = torch.zeros(len(some), len(loss.units), dtype=torch.bool)
    sets[:, chosen] = some
    assert agree(loss, joint_errors(loss, some, chosen), sets)


def test_a_loss_of_the_users_own() -> None:
    def absolute(output: Tensor, batch: Tensor) -> Tensor:
        assert output.dim() == 2, "called for one set at a time"
        return output.abs().sum(1)

    case = BY_NAME["residual"]
    loss = GatedLoss(case.model(), case.data(), absolute)
    sets = random_sets(len(loss.units), 8)
    assert agree(loss, joint_errors(loss, sets), sets)


def test_infinity_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).double().eval()
    for layer in model:
        torch.nn.init.ones_(layer.weight)
    loss = sc.GatedLoss(model, (torch.ones(3, 1).double(),), loss=lambda output, batch: output[:, 0].log())
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        joint_errors(loss, torch.tensor([[True, True]]))


def test_no_sets_have_no_errors() -> None:
    loss = gated(BY_NAME["sigmoid"])
    assert joint_errors(loss, torch.zeros(0, len(loss.units), dtype=torch.bool)).shape == (0,)
