"""The named metrics against worked-out values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from secateur.errors import DataError, NonFiniteError, UnknownNameError
from secateur.metrics import (
    METRICS,
    accuracy,
    accuracy_logits,
    accuracy_probabilities,
    error,
    explained,
    higher_is_better,
    resolve,
)

THREE = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])


@pytest.mark.parametrize(
    ("metric", "outputs", "targets", "expected"),
    [
        (accuracy, THREE, torch.tensor([0, 1, 1]), 2 / 3),
        (accuracy, THREE, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.4, 0.6]]), 2 / 3),
        (accuracy, torch.tensor([[1.0, 1.0]]), torch.tensor([0]), 1.0),  # of equals, the first
        (accuracy, torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[0, 0]]), 0.5),  # (N, C, positions)
        (accuracy_logits, torch.tensor([-0.1, 0.4, 2.0]), torch.tensor([0.0, 0.0, 1.0]), 2 / 3),
        (accuracy_logits, torch.tensor([[-0.1, 0.4]]), torch.tensor([1]), 1.0),
        (accuracy_logits, torch.tensor([[0.1, 0.4]]), torch.tensor([[0, 1]]), 0.5),
        (accuracy_probabilities, torch.tensor([[0.1], [0.4], [0.6]]), torch.tensor([[0.0], [1.0], [1.0]]), 2 / 3),
        (accuracy_probabilities, THREE, torch.tensor([0, 1, 1]), 2 / 3),
        (error, torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [3.0, 0.0]]), 3.5),
        (error, torch.tensor([[0.5, 0.0]]), torch.tensor([0]), 0.125),
        (explained, torch.tensor([1.0, 3.0]), torch.tensor([1.0, 5.0]), 0.5),
        (explained, torch.tensor([[3.0], [3.0]]), torch.tensor([[1.0], [5.0]]), 0.0),
        (explained, torch.tensor([[5.0], [1.0]]), torch.tensor([[1.0], [5.0]]), -3.0),
        # a best constant for each output, not one for all
        (explained, torch.tensor([[1.0, 9.0], [1.0, 11.0]]), torch.tensor([[0.0, 9.0], [2.0, 11.0]]), 0.5),
    ],
)
def test_by_hand(metric: object, outputs: Tensor, targets: Tensor, expected: float) -> None:
    assert callable(metric)
    result = metric(outputs, targets)
    assert isinstance(result, float)
    assert result == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "outputs", "targets", "message"),
    [
        ("accuracy", torch.zeros(3, 1), torch.zeros(3), "'accuracy_logits' .threshold 0"),
        ("accuracy", torch.zeros(3), torch.zeros(3), "'accuracy_logits' .threshold 0"),
        ("accuracy", torch.zeros(3, 2), torch.tensor([0, 1, 2]), "from 0 to 2"),
        ("accuracy", torch.zeros(3, 2), torch.ones(3, 2), "no alternatives use 'accuracy_logits'"),
        ("accuracy", torch.zeros(3, 2), torch.tensor([0, 1]), "shape"),
        ("accuracy_probabilities", torch.tensor([[1.5]]), torch.tensor([[1.0]]), "For logits use 'accuracy_logits'"),
        ("accuracy_logits", torch.tensor([[1.5]]), torch.tensor([[0.5]]), "other than 0 and 1"),
        ("accuracy_logits", torch.zeros(3, 1), torch.zeros(3), "nothing is broadcast"),
        ("error", torch.zeros(3, 1), torch.zeros(3), "nothing is broadcast"),
        ("explained", torch.zeros(3, 1), torch.full((3, 1), 0.1), "all the same"),
        ("error", torch.zeros(0, 1), torch.zeros(0, 1), "at least one example"),
    ],
)
def test_refused(name: str, outputs: Tensor, targets: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        METRICS[name](outputs, targets)


@pytest.mark.parametrize("name", METRICS)
def test_outputs_that_are_not_finite(name: str) -> None:
    with pytest.raises(NonFiniteError):
        METRICS[name](torch.tensor([[0.5, math.nan], [0.5, 0.5]]), torch.tensor([0, 1]))


@pytest.mark.usefixtures("unchecked")
def test_outputs_that_are_no_numbers() -> None:
    with pytest.raises(DataError, match="floating-point"):
        accuracy(torch.zeros(3, 2, dtype=torch.int64), torch.tensor([0, 1, 1]))


def test_explained_of_a_tiny_error_keeps_its_digits() -> None:
    targets = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    assert 1 - explained(targets + 1e-4, targets) == pytest.approx(1e-8, rel=1e-6)


def test_registry() -> None:
    assert all(resolve(name) is metric for name, metric in METRICS.items())
    assert [name for name in METRICS if not higher_is_better(name)] == ["error"]
    assert not higher_is_better(error)
    with pytest.raises(UnknownNameError, match="Did you mean 'accuracy'"):
        resolve("acuracy")
