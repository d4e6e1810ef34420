"""Make secateur/data/mnist20.npz from the four IDX files of MNIST.

    python scripts/make_mnist20.py FOLDER [--out secateur/data/mnist20.npz]

FOLDER holds train-images-idx3-ubyte and its three siblings, gzipped or not; their SHA-256 is checked. Out come 500
digits of each class of the training set and 100 of each class of the test set, chosen with a fixed seed, shrunk from
28x28 to 20x20 by area: every new pixel is the mean of the 1.4 x 1.4 old ones it covers, so no ink is lost (a crop
loses some). Both parts run through the classes 0, 1, ... 9, 0, 1, ..., so that every stretch of them is balanced.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

from secateur.data.mnist import read_idx_folder

SEED = 1701
SIDE = 20


def area_weights(old: int, new: int) -> np.ndarray:
    """(new, old): how much of each new pixel every old one covers; each row sums to 1.

    >>> area_weights(3, 2).tolist() == [[2 / 3, 1 / 3, 0.0], [0.0, 1 / 3, 2 / 3]]
    True
    """
    edges = np.arange(new + 1) * old / new
    cells = np.arange(old)
    overlap = np.minimum(edges[1:, None], cells[None, :] + 1) - np.maximum(edges[:-1, None], cells[None, :])
    return np.clip(overlap, 0, None) * new / old


def shrink(images: np.ndarray, side: int) -> np.ndarray:
    """(N, old, old) uint8 -> (N, side, side) uint8, by area."""
    weights = area_weights(images.shape[1], side)
    small = np.einsum("ij,njk,lk->nil", weights, images.astype(np.float64), weights, optimize=True)
    return np.rint(small).astype(np.uint8)


def choose(labels: np.ndarray, per_class: int, random: np.random.RandomState) -> np.ndarray:
    """Indices of `per_class` random examples of each class, in the order 0, 1, ... 9, 0, 1, ..."""
    columns = [random.permutation(np.flatnonzero(labels == digit))[:per_class] for digit in range(10)]
    return np.stack(columns, axis=1).ravel()


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Like numpy.savez_compressed, at the strongest level and with fixed dates: the same bytes every time."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue(), compresslevel=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "secateur" / "data" / "mnist20.npz")
    arguments = parser.parse_args()

    files = read_idx_folder(arguments.folder)
    random = np.random.RandomState(SEED)  # its stream is frozen (NEP 19)
    train = choose(files["train-labels-idx1-ubyte"], 500, random)
    test = choose(files["t10k-labels-idx1-ubyte"], 100, random)
    arrays = {
        "train_x": shrink(files["train-images-idx3-ubyte"][train], SIDE),
        "train_y": files["train-labels-idx1-ubyte"][train],
        "test_x": shrink(files["t10k-images-idx3-ubyte"][test], SIDE),
        "test_y": files["t10k-labels-idx1-ubyte"][test],
    }
    write_npz(arguments.out, arrays)
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
