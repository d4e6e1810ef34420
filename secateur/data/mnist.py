"""The whole of MNIST: 60,000 training and 10,000 test digits, from a folder or downloaded once."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
import torch
from torch import Tensor

from secateur.data.cache import cache_folder
from secateur.data.splits import Split, Splits
from secateur.errors import DataError, OptionError

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"

# SHA-256 of the contents, not of the .gz around them: copies gzipped by another program differ in the latter.
SHA256: Mapping[str, str] = MappingProxyType(
    {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
)
LARGEST = 16 + 60_000 * 28 * 28  # bytes in the largest file: nothing longer is ever unpacked

RANKED = 5_000
HELD_BACK = 10_000

Opener = Callable[..., IO[bytes]]


def load(
    root: str | os.PathLike[str] | None = None,
    *,
    flatten: bool = False,
    scale: bool = True,
    digit: int | None = None,
    rank: int = RANKED,
    seed: int = 0,
) -> Splits:
    """Full MNIST, 28x28.

    The 60,000 training digits are shuffled by `seed`: 50,000 to fit, the other 10,000 to stop on; the 10,000 test
    digits are the report. `rank` is the first so many of the fitting digits: enough for an oracle.
    `digit=0` makes it two-class: 1 for that digit, 0 for the rest. The files come from `root`, else from the folder
    named by the environment variable SECATEUR_MNIST, else from the user's cache, into which they are downloaded the
    first time.

    Shape:
        x: (N, 1, 28, 28), or (N, 784) with `flatten`; y: (N,) int64.

    Units:
        pixels from 0 (paper) to 1 (ink); with `scale=False` from 0 to 255, as in the paper's single-digit experiment.

    Raises:
        DataError: no files and no network, or files that are not MNIST.
        OptionError: `digit` or `rank` out of range.

    Source:
        Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits; CC BY-SA 3.0.

    >>> load(root="/nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    secateur.errors.DataError: no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in /nowhere...
    """
    if digit is not None and digit not in range(10):
        raise OptionError(f"got digit={digit!r}; expected None (ten classes) or one of 0 to 9")
    if not 1 <= rank <= 60_000 - HELD_BACK:
        raise OptionError(f"got rank={rank!r}; expected from 1 to {60_000 - HELD_BACK} examples to rank on")
    files = read_idx_folder(find_folder(root))

    def split(part: str, indices: np.ndarray) -> Split:
        images, labels = files[f"{part}-images-idx3-ubyte"][indices], files[f"{part}-labels-idx1-ubyte"][indices]
        return Split(_inputs(images, flatten, scale), _classes(labels, digit))

    order = np.random.RandomState(seed).permutation(60_000)  # its stream is frozen (NEP 19)
    fit = split("train", order[HELD_BACK:])
    return Splits(
        fit=fit,
        rank=Split(fit.x[:rank], fit.y[:rank]),
        stop=split("train", order[:HELD_BACK]),
        report=split("t10k", np.arange(10_000)),
    )


def _inputs(images: np.ndarray, flatten: bool, scale: bool) -> Tensor:
    x = torch.from_numpy(images).float()
    if scale:
        x = x / 255
    return x.flatten(1) if flatten else x.unsqueeze(1)


def _classes(labels: np.ndarray, digit: int | None) -> Tensor:
    y = torch.from_numpy(labels).long()
    return y if digit is None else (y == digit).long()


def find_folder(root: str | os.PathLike[str] | None = None, opener: Opener = urllib.request.urlopen) -> Path:
    """The folder that should hold MNIST's files: the first that is given of `root`, SECATEUR_MNIST and the cache.

    Only the cache is ever written to: what is missing there is downloaded with `opener` and checked first.

    Raises:
        DataError: a download that failed or is not MNIST.

    Source:
        https://ossci-datasets.s3.amazonaws.com/mnist/, torch's mirror of the files.

    >>> find_folder("digits").name
    'digits'
    """
    chosen = root if root is not None else os.environ.get("SECATEUR_MNIST") or None
    if chosen is not None:
        return Path(chosen).expanduser()
    folder = cache_folder() / "mnist"
    for name in SHA256:
        if not (folder / f"{name}.gz").exists() and not (folder / name).exists():
            _download(name, folder, opener)
    return folder


def _download(name: str, folder: Path, opener: Opener) -> None:
    url = f"{MIRROR}{name}.gz"
    try:
        with opener(url, timeout=60) as response:
            packed = response.read(LARGEST)
    except OSError as error:  # URLError and time-outs are among them
        raise DataError(f"cannot download {url}: {error}. {_remedy()}") from error
    _unpack(packed, name, url, SHA256)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f"{name}.gz.{os.getpid()}.part"
        aside.write_bytes(packed)
        aside.replace(folder / f"{name}.gz")
    except OSError as error:
        raise DataError(f"cannot keep {name}.gz in {folder}: {error}. {_remedy()}") from error


def _remedy() -> str:
    names = ", ".join(f"{name}.gz" for name in SHA256)
    return (
        f"Put the four files of MNIST ({names}; from {MIRROR} or any other copy) into one folder, and name it by the "
        "option root= or the environment variable SECATEUR_MNIST. Or use the data set 'mnist20', which needs no files."
    )


def read_idx_folder(folder: Path, hashes: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """The four IDX files of a folder, gzipped or not, checked and parsed.

    Shape:
        name -> (N, 28, 28) images or (N,) labels, uint8.

    Units:
        grey levels 0 to 255, and classes.

    Raises:
        DataError: a file that is missing, damaged, or not the one that `hashes` (SHA-256 of its contents; MNIST's
            if left out) expects.

    Source:
        The IDX format: two zero bytes, type, number of dimensions, their sizes (big-endian), the values.

    >>> read_idx_folder(Path("/nowhere"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    secateur.errors.DataError: no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz in /nowhere...
    """
    hashes = SHA256 if hashes is None else hashes
    return {name: _parse(_contents(folder, name, hashes), name) for name in hashes}


def _contents(folder: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    packed, plain = folder / f"{name}.gz", folder / name
    try:
        if packed.exists():
            return _unpack(packed.read_bytes(), name, str(packed), hashes)
        if plain.exists():
            return _checked(plain.read_bytes(), name, str(plain), hashes)
    except OSError as error:
        raise DataError(f"cannot read {name} in {folder}: {error}. {_remedy()}") from error
    raise DataError(f"no file {name} or {name}.gz in {folder}. {_remedy()}")


def _unpack(packed: bytes, name: str, where: str, hashes: Mapping[str, str]) -> bytes:
    try:
        with gzip.open(io.BytesIO(packed)) as stream:
            contents = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where} is not a whole gzip file: {error}. {_remedy()}") from error
    return _checked(contents, name, where, hashes)


def _checked(contents: bytes, name: str, where: str, hashes: Mapping[str, str]) -> bytes:
    found = hashlib.sha256(contents).hexdigest()
    if found != hashes[name]:
        raise DataError(
            f"{where} is not MNIST's {name}: the SHA-256 of its contents is {found}, expected {hashes[name]}. "
            f"Delete it. {_remedy()}"
        )
    return contents


def _parse(contents: bytes, name: str) -> np.ndarray:
    if len(contents) < 4 or contents[:3] != b"\0\0\x08":
        raise DataError(f"{name} is not an IDX file of bytes: it starts with {contents[:4].hex()}, expected 000008..")
    dimensions = contents[3]
    start = 4 + 4 * dimensions
    shape = [int(size) for size in np.frombuffer(contents[4:start], dtype=">u4")]
    if len(contents) - start != math.prod(shape):
        raise DataError(f"{name} announces {shape} values and holds {len(contents) - start}")
    return np.frombuffer(contents, dtype=np.uint8, offset=start).reshape(shape).copy()
