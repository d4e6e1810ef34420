"""A cosine to fit: the paper's regression for its smallest nets."""

from __future__ import annotations

import math

import numpy as np
import torch

from secateur.data.splits import Split, Splits
from secateur.errors import OptionError


def load(*, examples: int = 1000, periods: float = 1.0, seed: int = 0) -> Splits:
    """y = cos(x) on x in [-pi * periods, pi * periods].

    The paper does not give the domain; one whole period around 0 is ours. `fit` and `rank` are the same evenly spaced
    grid, both ends included; `stop` and `report` are as many points each, drawn evenly at random by `seed`.

    Shape:
        x: (N, 1); y: (N, 1) float32.

    Units:
        radians; y from -1 to 1, without noise.

    Raises:
        OptionError: fewer than 2 examples, or no domain.

    Source:
        The paper (arXiv 1701.04465), figures cos-small and cos-big.

    >>> load(examples=3).fit.y.flatten().tolist()
    [-1.0, 1.0, -1.0]
    """
    if examples < 2:
        raise OptionError(f"got examples={examples}; expected at least 2, the ends of the domain")
    if not (periods > 0 and math.isfinite(periods)):
        raise OptionError(f"got periods={periods}; expected a positive number of periods")
    random = np.random.RandomState(seed)  # its stream is frozen (NEP 19)
    reach = math.pi * periods
    fit = _split(np.linspace(-reach, reach, examples))
    stop, report = (_split(random.uniform(-reach, reach, examples)) for _ in range(2))
    return Splits(fit=fit, rank=fit, stop=stop, report=report)


def _split(x: np.ndarray) -> Split:
    column = torch.from_numpy(x)[:, None]
    return Split(column.float(), column.cos().float())
