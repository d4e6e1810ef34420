"""Is a point inside a randomly chosen smooth shape? Two classes in the plane."""

from __future__ import annotations

import math

import numpy as np

from secateur.data.points import balanced_points
from secateur.data.splits import Split, Splits

WAVES = 5
REACH = 0.95


def load(*, examples: int = 2000, shape: int = 0, seed: int = 0) -> Splits:
    """Points of the square [-1, 1]^2; class 1 inside a closed curve around the origin, else 0.

    In polar coordinates the curve is r(t) = c (1 + sum over k = 1 .. 5 of a_k cos(k t + p_k)), with p_k and the a_k
    (which add up to 0.8, so r > 0) drawn by `shape`, and c such that the curve just reaches r = 0.95. The points are
    drawn evenly by `seed`, half of each split inside. `fit` (which is also ranked on), `stop` and `report` have
    `examples` points each. The curve is ours: the paper gives no formula.

    Shape:
        x: (N, 2); y: (N,) int64.

    Units:
        plane coordinates; class 1 is inside.

    Raises:
        OptionError: a number of examples that is not even and positive.

    Source:
        The paper (arXiv 1701.04465), figures rshape-*.

    >>> splits = load(examples=100)
    >>> splits.fit.y.sum().item(), float(splits.fit.x[splits.fit.y == 1].norm(dim=1).max()) < 0.95
    (50, True)
    """
    curve = Curve(shape)
    random = np.random.RandomState(seed)  # its stream is frozen (NEP 19)
    fit, stop, report = (Split(*balanced_points(curve.inside, examples, random)) for _ in range(3))
    return Splits(fit=fit, rank=fit, stop=stop, report=report)


class Curve:
    """The closed curve that `shape` draws, star-shaped around the origin.

    Shape:
        `radius` and `inside` map (N,) angles and (N, 2) points to (N,).

    Units:
        plane coordinates, radians.

    Source:
        A short random Fourier series in polar coordinates.

    >>> Curve(0).inside(np.array([[0.0, 0.0], [1.0, 1.0]])).tolist()
    [True, False]
    """

    def __init__(self, shape: int) -> None:
        random = np.random.RandomState(shape)
        sizes = random.uniform(0.2, 1, WAVES)
        self._sizes = 0.8 * sizes / sizes.sum()
        self._phases = random.uniform(-math.pi, math.pi, WAVES)
        self._scale = 1.0
        self._scale = REACH / self.radius(np.linspace(-math.pi, math.pi, 10_001)).max()

    def radius(self, angle: np.ndarray) -> np.ndarray:
        waves = np.arange(1, WAVES + 1)
        return self._scale * (1 + np.cos(angle[:, None] * waves + self._phases) @ self._sizes)

    def inside(self, points: np.ndarray) -> np.ndarray:
        return np.hypot(points[:, 0], points[:, 1]) < self.radius(np.arctan2(points[:, 1], points[:, 0]))
