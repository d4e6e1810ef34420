"""MNIST at 20x20: 5,000 training and 1,000 test digits that come with the package, for the paper's 400-input nets."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch

from secateur.data.splits import Split, Splits


def load(*, flatten: bool = False) -> Splits:
    """5,000 + 1,000 digits of MNIST, balanced, shrunk to 20x20 by area.

    Fitted and ranked on the same 5,000 training digits, as in the paper; stop and report are halves of the 1,000 test
    digits, 50 of each class each. The classes go round, 0 to 9, so every stretch of examples is balanced.

    Shape:
        x: (N, 1, 20, 20), or (N, 400) with `flatten`; y: (N,) int64.

    Units:
        ink from 0 to 1, in steps of 1/255.

    Source:
        The paper (arXiv 1701.04465), section on MNIST; Y. LeCun, C. Cortes, C. Burges, MNIST, CC BY-SA 3.0 (see
        MNIST20_LICENSE.txt); made by scripts/make_mnist20.py.

    >>> splits = load()
    >>> splits.fit.x.shape, len(splits.stop), splits.report.y.bincount().unique().item()
    (torch.Size([5000, 1, 20, 20]), 500, 50)
    """
    with files("secateur.data").joinpath("mnist20.npz").open("rb") as stream, np.load(stream) as arrays:
        train = _split(arrays["train_x"], arrays["train_y"], flatten)
        test = _split(arrays["test_x"], arrays["test_y"], flatten)
    half = len(test) // 2
    return Splits(
        fit=train,
        rank=train,
        stop=Split(test.x[:half], test.y[:half]),
        report=Split(test.x[half:], test.y[half:]),
    )


def _split(images: np.ndarray, labels: np.ndarray, flatten: bool) -> Split:
    x = torch.from_numpy(images).float() / 255
    return Split(x.flatten(1) if flatten else x.unsqueeze(1), torch.from_numpy(labels).long())
