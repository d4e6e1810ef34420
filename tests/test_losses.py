"""The named losses against worked-out values, torch's own losses, and targets that must be refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from secateur.errors import DataError, NonFiniteError, UnknownNameError
from secateur.losses import LOSSES, bce, check_targets, cross_entropy, mse, prepare_target, resolve, self_distance, sse


def double(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# name, output, target, loss of each example, worked out by hand
BY_HAND = [
    ("sse", [[1.0, 2.0], [0.0, 0.0]], double([[0.0, 4.0], [3.0, 0.0]]), [2.5, 4.5]),
    ("sse", [[0.5, 0.0], [0.0, 3.0]], torch.tensor([0, 1]), [0.125, 2.0]),
    ("sse", [3.0, 1.0], double([1.0, 1.0]), [2.0, 0.0]),
    ("sse", [[[1.0, 0.0], [0.0, 2.0]]], torch.tensor([[0, 0]]), [2.5]),  # (N, C, positions)
    ("mse", [[1.0, 2.0], [0.0, 0.0]], double([[0.0, 4.0], [3.0, 0.0]]), [2.5, 4.5]),
    ("mse", [[1.0, 2.0, 0.0, 0.0]], double([[0.0, 4.0, 0.0, 0.0]]), [1.25]),
    ("mse", [3.0], double([1.0]), [4.0]),
    ("bce", [[0.0, 0.0]], double([[1.0, 0.25]]), [2 * math.log(2)]),
    ("bce", [[math.log(3), 0.0]], torch.tensor([1]), [math.log(4) + math.log(2)]),
    ("bce", [[math.log(3)]], torch.tensor([[1]]), [math.log(4 / 3)]),
    ("bce", [[math.log(3)]], torch.tensor([[True]]), [math.log(4 / 3)]),
    ("cross_entropy", [[0.0, math.log(3)], [0.0, 0.0]], torch.tensor([1, 0]), [math.log(4 / 3), math.log(2)]),
    ("cross_entropy", [[0.0, math.log(3)]], double([[0.5, 0.5]]), [math.log(4) - 0.5 * math.log(3)]),
    ("cross_entropy", [[[0.0, 0.0], [0.0, math.log(3)]]], torch.tensor([[1, 1]]), [math.log(2) + math.log(4 / 3)]),
    ("self", [[1.0, 2.0]], double([[0.0, 4.0]]), [2.5]),
]


@pytest.mark.parametrize(("name", "output", "target", "expected"), BY_HAND)
def test_by_hand(name: str, output: object, target: Tensor, expected: list[float]) -> None:
    outputs = double(output)
    prepared = prepare_target(name, outputs.shape, target)
    for given in (target, prepared):
        result = resolve(name)(outputs, given)
        assert result.dtype == torch.float64
        torch.testing.assert_close(result, double(expected), rtol=1e-14, atol=1e-15)
    assert torch.equal(prepare_target(name, outputs.shape, prepared), prepared)


def test_agrees_with_torch() -> None:
    output, classes, wanted = torch.randn(6, 5).double(), torch.randint(5, (6,)), torch.rand(6, 5).double()
    probabilities = wanted / wanted.sum(1, keepdim=True)
    close = torch.testing.assert_close
    close(cross_entropy(output, classes), functional.cross_entropy(output, classes, reduction="none"))
    close(cross_entropy(output, probabilities), functional.cross_entropy(output, probabilities, reduction="none"))
    close(mse(output, wanted), functional.mse_loss(output, wanted, reduction="none").mean(1))
    close(bce(output, wanted), functional.binary_cross_entropy_with_logits(output, wanted, reduction="none").sum(1))
    images, map_classes = torch.randn(3, 4, 2, 2).double(), torch.randint(4, (3, 2, 2))
    summed = functional.cross_entropy(images, map_classes, reduction="none").sum((1, 2))
    close(cross_entropy(images, map_classes), summed)


def test_bce_keeps_the_digits_of_tiny_losses() -> None:
    for logit, target in ((50.0, 1.0), (-50.0, 0.0)):
        assert bce(double([[logit]]), double([[target]])).item() == pytest.approx(math.exp(-50), rel=1e-12, abs=0)


TARGETS = {
    "sse": torch.tensor([2, 0, 1]),
    "mse": double([[0.0, 1.0, 2.0]] * 3),
    "bce": torch.tensor([2, 0, 1]),
    "cross_entropy": torch.tensor([2, 0, 1]),
    "self": double([[0.0, 1.0, 2.0]] * 3),
}


def test_computed_in_float64() -> None:
    output = torch.tensor([[1.0, 1e-5]])  # 1 + 1e-10 is 1 in float32
    assert sse(output, torch.zeros(1, 2)).item() == pytest.approx(0.5 + 0.5e-10, abs=1e-16)
    for name, target in TARGETS.items():
        outputs = torch.randn(3, 3)
        assert torch.equal(LOSSES[name](outputs, target), LOSSES[name](outputs.double(), target))
        assert LOSSES[name](outputs.bfloat16(), target).dtype == torch.float64


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("prepare", [False, True])
def test_mapped_over_stacked_outputs(name: str, prepare: bool) -> None:
    outputs, target, loss = torch.randn(4, 3, 3).double(), TARGETS[name], LOSSES[name]
    if prepare:
        target = prepare_target(name, outputs.shape[1:], target)
    mapped = torch.func.vmap(loss, in_dims=(0, None))(outputs, target)
    torch.testing.assert_close(mapped, torch.stack([loss(output, target) for output in outputs]))


@pytest.mark.parametrize("name", LOSSES)
def test_differentiable_twice(name: str) -> None:
    output, target, loss = torch.randn(3, 3).double().requires_grad_(), TARGETS[name], LOSSES[name]

    def total(values: Tensor) -> Tensor:
        return loss(values, target).sum()

    assert torch.autograd.gradcheck(total, (output,))
    assert torch.autograd.gradgradcheck(total, (output,))
    plain, along = output.detach(), torch.randn(3, 3).double()
    _, forward = torch.func.jvp(total, (plain,), (along,))
    torch.testing.assert_close(forward, (torch.func.grad(total)(plain) * along).sum())
    _, second = torch.func.jvp(torch.func.grad(total), (plain,), (along,))  # forward over reverse
    assert isinstance(second, Tensor)
    torch.testing.assert_close(second, torch.autograd.functional.hvp(total, plain, along)[1])


def test_bce_second_derivative_far_out() -> None:
    values = double([[-800.0, 0.0, 800.0]])
    hessian = torch.func.hessian(lambda x: bce(x, double([[0.0, 0.0, 1.0]])).sum())(values)
    torch.testing.assert_close(hessian[0, :, 0].diagonal(), double([0.0, 0.25, 0.0]))


# name, shape of the outputs, target, a piece of the message
REFUSED = [
    ("sse", (3, 2), torch.zeros(3), r"shape \(3,\).*\(3, 2\).*nothing is broadcast"),
    ("sse", (3, 1), torch.zeros(3), "nothing is broadcast"),
    ("sse", (3,), torch.zeros(3, 1), "nothing is broadcast"),
    ("sse", (3, 2), torch.zeros(1, 2), "nothing is broadcast"),
    ("sse", (3, 2), torch.zeros(4, 2), "nothing is broadcast"),
    ("sse", (3, 1), torch.tensor([0, 0, 0]), r"target\.unsqueeze\(1\)"),
    ("sse", (3, 2), torch.tensor([True, False, True]), "class indices need an output for each class"),
    ("sse", (3, 2), torch.tensor([0, 1]), "nothing is broadcast"),
    ("sse", (3, 2), torch.tensor([0, 1, 2]), "from 0 to 2; expected 0 to 1"),
    ("mse", (3, 2), torch.tensor([0, -1, 1]), "from -1 to 1; expected 0 to 1"),
    ("mse", (3, 2), torch.zeros(3, 2, dtype=torch.complex64), "real numbers"),
    ("bce", (3, 2), torch.tensor([[0.0, 2.0]] * 3), "from 0 to 2; expected 0 to 1"),
    ("bce", (3, 1), torch.tensor([0, 1, 1]), r"target\.unsqueeze\(1\)"),
    ("cross_entropy", (3, 2), torch.tensor([0.0, 1.0, 1.0]), r"convert with \.long\(\)"),
    ("cross_entropy", (3, 2), torch.tensor([[0], [1], [1]]), "class indices"),
    ("cross_entropy", (3, 2), torch.tensor([[0, 1]] * 3), "floating-point probabilities"),
    ("cross_entropy", (3, 2), torch.tensor([True, False, True]), "class indices"),
    ("cross_entropy", (3, 2), torch.tensor([0, 1, -100]), "from -100 to 1"),
    ("cross_entropy", (3, 1), torch.tensor([0, 0, 0]), "use 'bce'"),
    ("cross_entropy", (3,), torch.tensor([0, 0, 0]), "use 'bce'"),
    ("cross_entropy", (3, 2), torch.tensor([[1.0, 1.0]] * 3), "sum to 1"),
    ("cross_entropy", (3, 2), torch.tensor([[1.5, -0.5]] * 3), "must not be negative"),
    ("self", (3, 2), torch.tensor([0, 1, 1]), "unpruned output"),
    ("self", (3, 2), torch.zeros(3, 1), "unpruned output"),
    ("sse", (0, 2), torch.zeros(0, 2), "one example or more"),
    ("sse", (), torch.tensor(1.0), "answers each example"),
]


@pytest.mark.parametrize(("name", "shape", "target", "message"), REFUSED)
def test_refused_targets(name: str, shape: tuple[int, ...], target: Tensor, message: str) -> None:
    for check in (check_targets, prepare_target):
        with pytest.raises(DataError, match=message):
            check(name, shape, target)


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_are_checked_in_the_loss_itself(name: str) -> None:
    with pytest.raises(DataError, match="loss"):
        LOSSES[name](torch.zeros(3, 2), torch.zeros(3))


@pytest.mark.parametrize("name", ["sse", "self", "bce", "cross_entropy"])
def test_targets_that_are_not_finite(name: str) -> None:
    with pytest.raises(NonFiniteError):
        check_targets(name, (1, 2), torch.tensor([[1.0, math.nan]]))


@pytest.mark.usefixtures("unchecked")
def test_outputs_that_are_no_numbers() -> None:
    with pytest.raises(DataError, match="floating-point answers"):
        sse(torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 2))
    with pytest.raises(DataError, match="unpruned output"):
        self_distance(torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.int64))


def test_an_unchecked_index_that_is_no_class_is_not_silent() -> None:
    assert sse(torch.zeros(2, 3), torch.tensor([1, 3])).isnan().tolist() == [False, True]


def test_resolve() -> None:
    assert all(resolve(name) is loss for name, loss in LOSSES.items())
    assert resolve(len) is len  # type: ignore[arg-type,comparison-overlap]
    with pytest.raises(UnknownNameError, match="Did you mean 'sse'"):
        resolve("sses")
    with pytest.raises(UnknownNameError):
        check_targets("hinge", (1, 2), torch.zeros(1, 2))
