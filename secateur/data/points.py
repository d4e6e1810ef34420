"""Points drawn evenly in and around a shape, for the two-class sets in the plane."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from secateur.errors import OptionError


def balanced_points(
    inside: Callable[[np.ndarray], np.ndarray], examples: int, random: np.random.RandomState
) -> tuple[Tensor, Tensor]:
    """Points of [-1, 1]^2, half of them inside a shape and half outside, in random order.

    Shape:
        `inside` maps (N, 2) points to (N,) bool; x: (examples, 2) float32; y: (examples,) int64.

    Units:
        plane coordinates; class 1 is inside. Points are decided on as they are stored, in float32.

    Raises:
        OptionError: a number of examples that is not even and positive.

    Source:
        Rejection sampling.

    >>> x, y = balanced_points(lambda points: points[:, 0] > 0, 4, np.random.RandomState(0))
    >>> (x[:, 0] > 0).sum().item(), y.sum().item()
    (2, 2)
    """
    if examples < 2 or examples % 2:
        raise OptionError(f"got examples={examples}; expected an even, positive number, to have half inside")
    half = examples // 2
    kept: dict[bool, np.ndarray] = {side: np.empty((0, 2), np.float32) for side in (True, False)}
    while min(len(points) for points in kept.values()) < half:
        drawn = random.uniform(-1, 1, (4 * examples, 2)).astype(np.float32)
        within = inside(drawn.astype(np.float64))
        for side in kept:
            kept[side] = np.concatenate([kept[side], drawn[within == side]])[:half]
    order = random.permutation(examples)
    x = np.concatenate([kept[True], kept[False]])[order]
    return torch.from_numpy(x), torch.from_numpy((order < half).astype(np.int64))
