"""Is a point inside a diamond? Two classes in the plane."""

from __future__ import annotations

import numpy as np

from secateur.data.points import balanced_points
from secateur.data.splits import Split, Splits


def load(*, examples: int = 2000, seed: int = 0) -> Splits:
    """Points of the square [-1, 1]^2; class 1 if |x| + |y| < 1, else 0.

    The diamond covers half of the square, and half of the points of each split, drawn evenly by `seed`, lie in it.
    `fit` (which is also ranked on), `stop` and `report` have `examples` points each. Size and place are ours: the paper
    gives neither.

    Shape:
        x: (N, 2); y: (N,) int64.

    Units:
        plane coordinates; class 1 is inside.

    Raises:
        OptionError: a number of examples that is not even and positive.

    Source:
        The paper (arXiv 1701.04465), figures diamond-*.

    >>> splits = load(examples=100)
    >>> bool(((splits.fit.x.abs().sum(1) < 1) == (splits.fit.y == 1)).all())
    True
    """
    random = np.random.RandomState(seed)  # its stream is frozen (NEP 19)
    fit, stop, report = (Split(*balanced_points(inside, examples, random)) for _ in range(3))
    return Splits(fit=fit, rank=fit, stop=stop, report=report)


def inside(points: np.ndarray) -> np.ndarray:
    """(N, 2) points -> (N,) whether each lies in the diamond |x| + |y| < 1.

    Shape:
        (N, 2) -> (N,) bool.

    Units:
        plane coordinates.

    Source:
        The unit ball of the 1-norm.

    >>> inside(np.array([[0.4, -0.5], [0.6, 0.5]])).tolist()
    [True, False]
    """
    return np.abs(points).sum(axis=1) < 1
