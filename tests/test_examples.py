"""The user's data, in every form in which it may come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from secateur.examples import read

X, Y = torch.arange(24.0).view(8, 3), torch.arange(8) % 3


class Two(nn.Module):
    def forward(self, left: Tensor, right: Tensor, scale: Tensor | None = None) -> Tensor:
        return left + right


def test_a_pair() -> None:
    examples = read((X, Y), nn.Identity())
    assert len(examples) == 8
    assert torch.equal(examples.inputs[0], X)
    assert torch.equal(examples.target, Y)
    assert len(examples.args) == 1
    assert examples.kwargs == {}


def test_several_inputs_and_a_target() -> None:
    examples = read((X, X + 1, Y), Two())
    assert len(examples.inputs) == 2
    assert torch.equal(examples.target, Y)


def test_inputs_alone() -> None:
    assert read(X, nn.Identity()).target is None
    assert read((X,), nn.Identity()).target is None


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_loaders_are_joined_in_order(batch_size: int) -> None:
    examples = read(DataLoader(TensorDataset(X, Y), batch_size=batch_size), nn.Identity())
    assert torch.equal(examples.inputs[0], X)
    assert torch.equal(examples.target, Y)


def test_a_dataset_is_read_item_by_item() -> None:
    examples = read(TensorDataset(X, Y), nn.Identity())
    assert torch.equal(examples.inputs[0], X)
    assert torch.equal(examples.target, Y)


def test_keywords() -> None:
    examples = read({"right": X, "left": X + 1, "labels": Y, "weight": X}, Two())
    assert examples.keywords == ("right", "left")
    assert examples.args == ()
    assert torch.equal(examples.kwargs["left"], X + 1)
    assert torch.equal(examples.target, Y)
    batch = examples.batch(2, 4, torch.device("cpu"))
    assert set(batch) == {"right", "left", "labels", "weight"}
    assert torch.equal(batch["weight"], X[2:4])


def test_batches_of_dicts() -> None:
    batches = [{"left": X[:5], "right": X[:5], "y": Y[:5]}, {"left": X[5:], "right": X[5:], "y": Y[5:]}]
    examples = read(batches, Two())
    assert torch.equal(examples.kwargs["right"], X)
    assert torch.equal(examples.target, Y)


def test_a_batch_is_what_the_user_gave() -> None:
    x, y = read((X, Y), nn.Identity()).batch(6, 8, torch.device("cpu"))
    assert torch.equal(x, X[6:])
    assert torch.equal(y, Y[6:])


def test_a_memory_map_stays_one(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    examples = read((mapped, Y), nn.Identity())
    assert examples.inputs[0].data_ptr() == mapped.ctypes.data
    assert torch.equal(examples.inputs[0], X)


class TestDigest:
    def test_is_that_of_the_values(self) -> None:
        digest = read((X, Y), nn.Identity()).digest
        assert digest == read((X.clone(), Y.clone()), nn.Identity()).digest
        assert digest == read((X.T.contiguous().T, Y), nn.Identity()).digest
        assert digest == read(TensorDataset(X, Y), nn.Identity()).digest

    def test_tells_data_apart(self) -> None:
        other = X.clone()
        other[7, 2] += 1
        ways = [(X, Y), (other, Y), (X.double(), Y), (X.view(8, 3, 1), Y), (X, Y + 1), X, (X[:7], Y[:7])]
        assert len({read(data, nn.Identity()).digest for data in ways}) == len(ways)
