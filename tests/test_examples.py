"""Data in every form that it comes in: the same examples, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from secateur.examples import Examples, read

X = torch.arange(21.0).reshape(7, 3)
Y = torch.tensor([0, 1, 2, 0, 1, 2, 0])


class Net(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x


class Pairs(Dataset):
    """A map-style data set of plain numbers and arrays, as users write them."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        if not 0 <= index < 7:
            raise IndexError(index)
        return X[index].numpy(), int(Y[index])


class Rows(Dataset):
    """The same as dicts."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": X[index], "label": int(Y[index])}


def batches(size: int) -> list[tuple[Tensor, Tensor]]:
    return list(zip(X.split(size), Y.split(size), strict=True))


FORMS: dict[str, Any] = {
    "tensors": (X, Y),
    "a list of tensors": [X, Y],
    "arrays": (X.numpy(), Y.numpy()),
    "a tensor and an array": (X, Y.numpy()),
    "a dataset of tensors": TensorDataset(X, Y),
    "a dataset of arrays and numbers": Pairs(),
    "a loader, one batch": DataLoader(TensorDataset(X, Y), batch_size=7),
    "a loader, uneven last batch": DataLoader(TensorDataset(X, Y), batch_size=3),
    "a loader of a user's own dataset": DataLoader(Pairs(), batch_size=2),
    "a list of batches": batches(3),
    "a tuple of batches": tuple(batches(4)),
    "batches of arrays": [(x.numpy(), y.numpy()) for x, y in batches(5)],
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_examples_in_every_form(form: str) -> None:
    examples = read(FORMS[form], Net())
    assert len(examples) == 7
    (x,) = examples.inputs
    assert torch.equal(x, X)
    assert x.dtype == torch.float32
    assert torch.equal(examples.target, Y)
    assert examples.keywords == ()
    assert torch.equal(examples.args[0], X)
    assert examples.kwargs == {}
    assert examples.digest == read((X, Y), Net()).digest


@pytest.mark.parametrize(
    "data",
    [
        {"x": X, "label": Y},
        {"x": X.numpy(), "label": Y.numpy()},
        Rows(),
        DataLoader(Rows(), batch_size=4),
        [{"x": x, "label": y} for x, y in batches(3)],
    ],
    ids=["a dict", "a dict of arrays", "a dataset", "a loader", "a list of batches"],
)
def test_dicts_name_the_arguments(data: Any) -> None:
    examples = read(data, Net())
    assert examples.keywords == ("x",)
    assert torch.equal(examples.kwargs["x"], X)
    assert examples.args == ()
    assert torch.equal(examples.target, Y)
    assert examples.digest == read({"x": X, "label": Y}, Net()).digest


@pytest.mark.parametrize("key", ["labels", "label", "targets", "target", "y"])
def test_targets_by_their_usual_names(key: str) -> None:
    examples = read({"x": X, key: Y}, Net())
    assert torch.equal(examples.target, Y)
    assert examples.keywords == ("x",)


def test_keys_that_are_no_arguments_stay_with_the_batch() -> None:
    """A user's own loss sees them; the network does not."""
    examples = read({"weight": torch.rand(7), "x": X, "mask": X > 3, "y": Y}, Net())
    assert examples.keywords == ("x", "mask")
    batch = examples.batch(2, 4, torch.device("cpu"))
    assert list(batch) == ["weight", "x", "mask", "y"]
    assert torch.equal(batch["x"], X[2:4])


def test_batches_come_back_as_the_user_gave_them() -> None:
    batch = read((X, X + 1, Y), Net()).batch(5, 7, torch.device("cpu"))
    assert isinstance(batch, tuple)
    assert [field.tolist() for field in batch] == [X[5:7].tolist(), (X[5:7] + 1).tolist(), Y[5:7].tolist()]


def test_the_last_of_several_tensors_is_the_target() -> None:
    examples = read((X, X + 1, Y), Net())
    assert len(examples.inputs) == 2
    assert torch.equal(examples.target, Y)


@pytest.mark.parametrize("data", [X, X.numpy(), (X,), [(X[:4],), (X[4:],)], DataLoader(X, batch_size=3)])
def test_inputs_alone_have_no_target(data: Any) -> None:
    examples = read(data, Net())
    assert torch.equal(examples.inputs[0], X)
    assert examples.target is None


class TestDigest:
    def test_tells_values_types_shapes_and_names_apart(self) -> None:
        changed = X.clone()
        changed[6, 2] += 1e-6 * changed[6, 2]
        data = [(X, Y), (changed, Y), (X, Y + 1), (X.double(), Y), (X.reshape(7, 3, 1), Y), (X.flip(0), Y), (X,)]
        data += [{"x": X, "y": Y}, {"mask": X, "y": Y}, (X, Y.view(torch.float64))]  # the last: the very same bytes
        digests = [read(fields, Net()).digest for fields in data]
        assert len(set(digests)) == len(data)

    def test_is_of_the_values_not_of_their_place_in_memory(self) -> None:
        assert read((X.t().contiguous().t(), Y), Net()).digest == read((X, Y), Net()).digest
        assert read((torch.stack((X, X), 1)[:, 0], Y), Net()).digest == read((X, Y), Net()).digest

    def test_of_many_examples_is_that_of_all(self) -> None:
        """Pieces of 4,096: one example past the last counts."""
        x = torch.zeros(4098, 2)
        other = x.clone()
        other[4097] = 1.0
        assert read((x, x), Net()).digest != read((x, other), Net()).digest

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.bfloat16, torch.float16, torch.complex64])
    def test_of_any_type(self, dtype: torch.dtype) -> None:
        assert len(read((X.to(dtype), Y), Net()).digest) == 64


def test_a_memory_map_stays_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    examples = read((mapped, Y), Net())
    assert examples.inputs[0].data_ptr() == mapped.ctypes.data
    assert examples.digest == read((X, Y), Net()).digest


def test_tensors_are_not_copied_and_lose_their_history() -> None:
    x = X.clone().requires_grad_(True)
    examples = read((x, Y), Net())
    assert examples.inputs[0].data_ptr() == x.data_ptr()
    assert not examples.inputs[0].requires_grad


def test_arrays_that_can_not_be_written_to_are_copied_without_a_warning() -> None:
    x = X.numpy().copy()
    x.flags.writeable = False
    assert torch.equal(read((x, Y), Net()).inputs[0], X)


def test_a_loader_is_read_in_order_by_workers_too() -> None:
    class Numbers(Dataset):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Tensor:
            return torch.tensor([float(index)])

    examples: Examples = read(DataLoader(Numbers(), batch_size=3, num_workers=0), Net())
    assert examples.inputs[0].flatten().tolist() == list(range(20))


def test_an_iterable_may_be_anything_that_can_be_read_twice() -> None:
    class Twice:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            return iter(batches(2))

    assert torch.equal(read(Twice(), Net()).inputs[0], X)
