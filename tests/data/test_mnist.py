"""Full MNIST from small files of the same form: reading, checking, and what is said when there is nothing to read."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import urllib.error
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

from secateur.data import load, mnist
from secateur.errors import DataError, OptionError

FILES: dict[str, np.ndarray] = {
    "train-images-idx3-ubyte": np.arange(60_000 * 4, dtype=np.uint64).astype(np.uint8).reshape(60_000, 2, 2),
    "train-labels-idx1-ubyte": (np.arange(60_000) % 10).astype(np.uint8),
    "t10k-images-idx3-ubyte": np.full((10_000, 2, 2), 255, np.uint8),
    "t10k-labels-idx1-ubyte": (np.arange(10_000) % 10).astype(np.uint8),
}


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


CONTENTS = {name: idx(values) for name, values in FILES.items()}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small files pass for MNIST."""
    hashes = {name: hashlib.sha256(contents).hexdigest() for name, contents in CONTENTS.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, (name, contents) in enumerate(CONTENTS.items()):
        if number % 2:
            (tmp_path / name).write_bytes(contents)  # plain files will do
        else:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(contents, 1))
    return tmp_path


class Opener:
    """Stands in for the network: serves what it is given, and counts."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.urls: list[str] = []

    def __call__(self, url: str, timeout: float) -> IO[bytes]:
        self.urls.append(url)
        return io.BytesIO(self.files[url.rsplit("/", 1)[1].removesuffix(".gz")])


@pytest.mark.usefixtures("fake")
class TestSplits:
    def test_shapes_and_order(self, folder: Path) -> None:
        splits = mnist.load(folder)
        lengths = [len(part) for part in (splits.fit, splits.rank, splits.stop, splits.report)]
        assert lengths == [50_000, 5_000, 10_000, 10_000]
        assert splits.fit.x.shape[1:] == (1, 2, 2)
        assert torch.equal(splits.rank.x, splits.fit.x[:5_000])
        assert splits.report.x.unique().tolist() == [1.0]
        # Every training example is fitted or held back, once. Image n begins with 4n mod 256, its label is n mod 10.
        both = torch.cat([splits.fit.y, splits.stop.y])
        assert both.bincount().tolist() == [6_000] * 10
        assert torch.equal(mnist.load(folder).fit.y, splits.fit.y)
        assert not torch.equal(mnist.load(folder, seed=1).fit.y, splits.fit.y)

    def test_images_stay_with_their_labels(self, folder: Path) -> None:
        fit = mnist.load(folder, flatten=True, scale=False).fit
        assert fit.x.shape == (50_000, 4)
        first = fit.x[:, 0].long()
        assert torch.equal(first % 4, torch.zeros_like(first))
        parity = (first // 4) % 2  # n mod 64 and n mod 10 agree in their last bit
        assert torch.equal(parity, fit.y % 2)

    def test_one_digit_against_the_rest(self, folder: Path) -> None:
        splits = load("mnist", root=folder, digit=3, rank=100)
        assert splits.report.y.bincount().tolist() == [9_000, 1_000]
        assert len(splits.rank) == 100

    def test_environment(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECATEUR_MNIST", str(folder))
        assert len(mnist.load().report) == 10_000
        assert mnist.find_folder("elsewhere") == Path("elsewhere")


@pytest.mark.usefixtures("fake")
class TestDownload:
    def test_into_the_cache_once(self, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SECATEUR_MNIST", raising=False)
        opener = Opener({name: gzip.compress(contents, 1) for name, contents in CONTENTS.items()})
        assert mnist.find_folder(opener=opener) == fresh_cache / "mnist"
        assert [url.removeprefix(mnist.MIRROR) for url in opener.urls] == [f"{name}.gz" for name in CONTENTS]
        assert len(mnist.read_idx_folder(mnist.find_folder(opener=opener))) == 4
        assert len(opener.urls) == 4
        assert {path.name for path in (fresh_cache / "mnist").iterdir()} == {f"{name}.gz" for name in CONTENTS}

    def test_of_something_else(self, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SECATEUR_MNIST", raising=False)
        opener = Opener({name: gzip.compress(b"a login page") for name in CONTENTS})
        with pytest.raises(DataError, match=r"train-images.*SHA-256 .* is [0-9a-f]{64}, expected [0-9a-f]{64}"):
            mnist.find_folder(opener=opener)
        assert not list(fresh_cache.rglob("*.gz"))

    def test_without_a_network(self, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SECATEUR_MNIST", raising=False)

        def opener(url: str, timeout: float) -> IO[bytes]:
            raise urllib.error.URLError("no route to host")

        with pytest.raises(DataError, match=r"no route to host.*root= or the environment variable SECATEUR_MNIST"):
            mnist.find_folder(opener=opener)
        assert not fresh_cache.exists()


class TestReading:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no file train-images-idx3-ubyte.*Put the four files"):
            mnist.load(tmp_path)

    def test_another_file_of_the_same_name(self, folder: Path) -> None:
        with pytest.raises(DataError, match=r"is not MNIST's train-images-idx3-ubyte.*Delete it"):
            mnist.load(folder)

    @pytest.mark.parametrize(
        "packed",
        [b"not gzip", gzip.compress(b"half", mtime=0)[:-6], gzip.compress(b"a" * 99, mtime=0)[:-20] + b"z" * 20],
        ids=["other", "cut", "altered"],  # the same in every process
    )
    def test_damaged_gzip(self, tmp_path: Path, packed: bytes) -> None:
        (tmp_path / "a.gz").write_bytes(packed)
        with pytest.raises(DataError, match="not a whole gzip file"):
            mnist.read_idx_folder(tmp_path, {"a": "0"})

    @pytest.mark.parametrize(
        "contents",
        [b"", b"\0\0\x0d\1\0\0\0\0", idx(np.zeros((3, 2), np.uint8))[:-1]],
        ids=["empty", "head", "cut"],
    )
    def test_not_idx(self, tmp_path: Path, contents: bytes) -> None:
        (tmp_path / "a").write_bytes(contents)
        with pytest.raises(DataError, match=r"IDX|announces"):
            mnist.read_idx_folder(tmp_path, {"a": hashlib.sha256(contents).hexdigest()})

    def test_values(self, tmp_path: Path) -> None:
        values = np.arange(6, dtype=np.uint8).reshape(3, 2)
        (tmp_path / "a").write_bytes(idx(values))
        read = mnist.read_idx_folder(tmp_path, {"a": hashlib.sha256(idx(values)).hexdigest()})
        assert np.array_equal(read["a"], values)

    @pytest.mark.parametrize("options", [{"digit": 10}, {"digit": -1}, {"rank": 0}, {"rank": 50_001}])
    def test_options_out_of_range(self, tmp_path: Path, options: dict[str, int]) -> None:
        with pytest.raises(OptionError, match="expected"):
            load("mnist", root=tmp_path, **options)
