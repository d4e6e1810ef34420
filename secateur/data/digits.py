"""The 1,797 digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch

from secateur.data.splits import Split, Splits
from secateur.errors import DataError

HELD_OUT = 300


def load(*, flatten: bool = True, seed: int = 0) -> Splits:
    """scikit-learn's 8x8 digits, shuffled by `seed`.

    1,197 to fit, which are ranked on too; 300 to stop on and 300 to report, 30 of each class each.

    Shape:
        x: (N, 64), or (N, 1, 8, 8) with `flatten=False`; y: (N,) int64.

    Units:
        ink from 0 to 1, in steps of 1/16.

    Raises:
        DataError: scikit-learn is not installed.

    Source:
        E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits (UCI); sklearn.datasets.load_digits.

    >>> splits = load()
    >>> splits.fit.x.shape, splits.stop.y.bincount().unique().item()
    (torch.Size([1197, 64]), 30)
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("the data set 'digits' needs scikit-learn: pip install 'secateur[data]'") from error
    pixels, labels = load_digits(return_X_y=True)

    order = np.random.RandomState(seed).permutation(len(labels))  # its stream is frozen (NEP 19)
    # The place of each example within its class: the first 30 of every class are reported on, the next 30 stopped on.
    place = np.empty(len(order), dtype=int)
    for digit in range(10):
        members = labels[order] == digit
        place[members] = np.arange(members.sum())
    share = HELD_OUT // 10

    def split(chosen: np.ndarray) -> Split:
        x = torch.from_numpy(pixels[order[chosen]]).float() / 16
        return Split(x if flatten else x.reshape(-1, 1, 8, 8), torch.from_numpy(labels[order[chosen]]).long())

    fit = split(place >= 2 * share)
    return Splits(fit=fit, rank=fit, stop=split((place >= share) & (place < 2 * share)), report=split(place < share))
