"""Every data set: its splits, its classes, and that the same seed gives the same examples."""

from __future__ import annotations

import hashlib
import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur import data
from secateur.data import Split, Splits, cache_folder
from secateur.data.random_shape import Curve
from secateur.errors import DataError, OptionError, UnknownNameError

LOCAL = [name for name in data.DATASETS if name != "mnist"]  # that one has files of its own: test_mnist.py
SIZES = {
    "cosine": (1000, 1000, 1000),
    "diamond": (2000, 2000, 2000),
    "digits": (1197, 300, 300),
    "mnist20": (5000, 500, 500),
    "random_shape": (2000, 2000, 2000),
}


def rows(split: Split) -> set[bytes]:
    return {row.numpy().tobytes() for row in split.x}


@pytest.mark.parametrize("name", LOCAL)
def test_splits(name: str) -> None:
    splits, again = data.load(name), data.load(name)
    assert (len(splits.fit), len(splits.stop), len(splits.report)) == SIZES[name]
    assert splits.rank is splits.fit
    for part in ("fit", "stop", "report"):
        one, other = getattr(splits, part), getattr(again, part)
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)
        assert one.x.dtype == torch.float32
        assert one.y.dtype == (torch.float32 if name == "cosine" else torch.int64)
    held_out = rows(splits.stop) | rows(splits.report)
    assert len(held_out) == len(splits.stop) + len(splits.report), "stop and report share examples"
    assert not held_out & rows(splits.fit), "an example is both fitted and held out"


@pytest.mark.parametrize("name", ["cosine", "diamond", "digits", "random_shape"])
def test_another_seed_gives_other_examples(name: str) -> None:
    assert rows(data.load(name, seed=1).report) != rows(data.load(name, seed=0).report)


@pytest.mark.parametrize(("name", "classes"), [("mnist20", 10), ("diamond", 2), ("random_shape", 2)])
def test_classes_are_balanced(name: str, classes: int) -> None:
    splits = data.load(name)
    for split in (splits.fit, splits.stop, splits.report):
        assert split.y.bincount().tolist() == [len(split) // classes] * classes


def test_unknown_names_and_options() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'mnist20'"):
        data.load("minst20")
    with pytest.raises(OptionError, match="no option flat; it has flatten"):
        data.load("mnist20", flat=True)


class TestSplit:
    def test_is_a_dataset(self) -> None:
        split = Split(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 2]))
        assert len(split) == 3
        x, y = next(iter(torch.utils.data.DataLoader(split, batch_size=2)))
        assert x.tolist() == [[0, 1], [2, 3]]
        assert y.tolist() == [0, 1]
        assert split.pair[0] is split.x

    @pytest.mark.parametrize(
        ("x", "y"),
        [
            (torch.zeros(3, dtype=torch.float64), torch.zeros(3)),
            (torch.zeros(3), torch.zeros(3, dtype=torch.int32)),
            (torch.zeros(3), torch.zeros(2)),
            (torch.tensor(0.0), torch.tensor(0.0)),
        ],
    )
    def test_refuses(self, x: torch.Tensor, y: torch.Tensor) -> None:
        with pytest.raises(DataError, match="expected"):
            Split(x, y)


class TestMnist20:
    def test_values(self) -> None:
        splits = data.load("mnist20")
        assert splits.fit.x.shape[1:] == (1, 20, 20)
        assert splits.fit.y[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
        assert splits.fit.x.min() == 0
        assert splits.fit.x.max() == 1
        levels = splits.fit.x * 255
        assert torch.allclose(levels, levels.round(), atol=1e-4)
        # A 0 is hollow, a 1 is not.
        middle = splits.fit.x[:, 0, 8:12, 9:11].mean((1, 2))
        assert middle[splits.fit.y == 0].mean() < 0.2 < 0.5 < middle[splits.fit.y == 1].mean()

    def test_flatten(self) -> None:
        flat, square = data.load("mnist20", flatten=True).report, data.load("mnist20").report
        assert torch.equal(flat.x, square.x.reshape(500, 400))

    def test_is_the_file_that_was_made(self) -> None:
        resource = files("secateur.data").joinpath("mnist20.npz")
        with resource.open("rb") as stream, np.load(stream) as arrays:
            digest = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
        assert digest == "ebb7c6ffefb421af6eaea9d8b7955dbda74cb202039036080aa317abfc65ed79"
        assert len(resource.read_bytes()) < 1_000_000
        licence = files("secateur.data").joinpath("MNIST20_LICENSE.txt").read_text()
        assert "CC BY-SA 3.0" in licence
        assert "LeCun" in licence


def test_digits() -> None:
    splits = data.load("digits", flatten=False)
    assert splits.fit.x.shape == (1197, 1, 8, 8)
    assert splits.fit.x.max() == 1
    assert splits.stop.y.bincount().tolist() == splits.report.y.bincount().tolist() == [30] * 10
    assert torch.equal(splits.fit.x.flatten(1), data.load("digits").fit.x)


def test_cosine() -> None:
    splits = data.load("cosine", examples=5)
    torch.testing.assert_close(splits.fit.x[:, 0], torch.tensor([-1, -0.5, 0, 0.5, 1]) * math.pi)
    torch.testing.assert_close(splits.fit.y[:, 0], torch.tensor([-1.0, 0, 1, 0, -1]), atol=1e-6, rtol=0)
    assert splits.report.x.abs().max() < math.pi
    assert data.load("cosine", periods=2).fit.x.max().item() == pytest.approx(2 * math.pi)
    for wrong in ({"examples": 1}, {"periods": 0.0}, {"periods": math.inf}):
        with pytest.raises(OptionError):
            data.load("cosine", **wrong)


def test_diamond() -> None:
    for split in (data.load("diamond").fit, data.load("diamond").report):
        assert torch.equal(split.x.double().abs().sum(1) < 1, split.y == 1)
        assert split.x.abs().max() <= 1
    with pytest.raises(OptionError, match="even"):
        data.load("diamond", examples=3)


def test_random_shape() -> None:
    split = data.load("random_shape", shape=3).fit
    assert np.array_equal(Curve(3).inside(split.x.double().numpy()), split.y.numpy() == 1)
    for shape in range(5):
        radius = Curve(shape).radius(np.linspace(-np.pi, np.pi, 1001))
        assert 0.05 < radius.min() < radius.max() <= 0.951
        assert radius.max() == pytest.approx(0.95, abs=1e-4)
    assert rows(data.load("random_shape", shape=1).fit) != rows(data.load("random_shape", shape=0).fit)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECATEUR_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("SECATEUR_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "secateur"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says: ignore it
    assert cache_folder() == Path.home() / ".cache" / "secateur"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "secateur"


def test_splits_are_frozen() -> None:
    splits = data.load("diamond", examples=2)
    assert isinstance(splits, Splits)
    with pytest.raises(AttributeError):
        splits.fit = splits.stop  # type: ignore[misc]
