"""What one set of examples tells of two networks: which answers were lost, which gained, and how sure that is.

The difference of two accuracies on the same examples is a mean of values -1, 0 and 1. Its spread comes from the
examples whose answers changed alone, so that a drop of one point is told from noise with far fewer examples than two
separate accuracies would need.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from secateur.errors import OptionError, UnknownNameError

COUNTS = ("lost", "gained", "same")

NUISANCE_RISK = 1e-3
"""The part of the risk that is spent on ruling out gains far more frequent than those observed (Berger and Boos)."""
CELLS = 16
"""Cells of the nuisance parameter for each standard deviation of the number of gained answers."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """How many of the examples were right before and are wrong now (`lost`), the reverse (`gained`), or neither."""

    lost: int
    gained: int
    same: int

    @classmethod
    def read(cls, metric: str, measured: Mapping[str, float]) -> Pairs:
        """The counts that a step records under `count_names(metric)`. Raises: UnknownNameError where it has none."""
        for name in count_names(metric):
            if name not in measured:
                raise UnknownNameError("measured metric", name, measured)
        return cls(*(int(measured[name]) for name in count_names(metric)))

    @property
    def examples(self) -> int:
        return self.lost + self.gained + self.same

    @property
    def drop(self) -> float:
        """The observed drop of the accuracy: (lost - gained) / examples."""
        return (self.lost - self.gained) / self.examples


def count_names(metric: str) -> tuple[str, ...]:
    """The metrics that record, at every step, how the answers compare with those of the untouched network.

    >>> count_names("accuracy")
    ('accuracy_lost', 'accuracy_gained', 'accuracy_same')
    """
    return tuple(f"{metric}_{count}" for count in COUNTS)


@lru_cache(maxsize=4096)
def drop_p_value(pairs: Pairs, drop: float) -> float:
    """How probable counts as good as these are, at most, where the true drop of accuracy is `drop` or more.

        p = b + max over c <= C of P(Z >= Z_observed | lost with probability c + drop, gained with probability c)

    P is the exact trinomial probability, Z the score statistic (n drop - lost + gained) / sqrt(n (q - drop^2)), with q
    the likeliest share of changed answers that has this drop. The true c is unknown: C bounds it from above with
    confidence 1 - b, b = 0.001 (Clopper and Pearson), and P is maximised over all c below. The maximum is no grid's: Z
    falls with `lost` and rises with `gained`, so the corner of a cell of c's bounds all of the cell from above.
    Hence P(p <= a) <= a for every number of examples, whatever the network; no normal approximation is made.

    Units: probability; at most 0.05 certifies, at the 95% level, that the drop is less than `drop`.
    Raises: OptionError for a drop outside [0, 1), or no examples.
    Source: Tango, Statistics in Medicine 17 (1998); Hsueh, Liu and Chen, Biometrics 57 (2001); Berger and Boos,
    JASA 89 (1994).

    >>> round(drop_p_value(Pairs(lost=3, gained=2, same=1995), drop=0.01), 4)
    0.001
    >>> drop_p_value(Pairs(lost=10, gained=0, same=490), drop=0.01) > 0.5
    True
    """
    from scipy.stats import beta, binom

    count = pairs.examples
    if not 0 <= drop < 1 or count < 1:
        raise OptionError(
            f"got drop={drop!r} on {count} examples; expected a drop from 0 to 1, and an example or more."
        )
    observed = float(_score(np.array(pairs.lost), np.array(pairs.gained), count, drop))
    if observed <= 0:  # no better than the drop itself: nothing is certified, and the sum below would be long
        return 1.0
    highest = 1.0 if pairs.gained == count else float(beta.isf(NUISANCE_RISK, pairs.gained + 1, count - pairs.gained))
    highest = min(highest, (1 - drop) / 2)
    most = int(binom.isf(1e-15, count, highest))  # more gains than this have no weight
    gained = np.arange(most + 1)
    lost = np.maximum.accumulate(_most_lost(gained, count, drop, observed))

    def chance(low: float, high: float) -> float:
        """The probability of counts as good as these, at most, for every c between these two."""
        inside = slice(int(binom.ppf(1e-15, count, high)), min(int(binom.isf(1e-15, count, high)), most) + 1)
        weights = binom.pmf(gained[inside], count, high)
        share = min((low + drop) / (1 - high), 1.0)
        left_out = max(0.0, 1.0 - float(weights.sum()))
        return left_out + float(weights @ binom.cdf(lost[inside], count - gained[inside], share))

    edges = np.linspace(0, math.sqrt(highest), 2 + math.ceil(CELLS * math.sqrt(count * highest))) ** 2
    worst = max(chance(float(low), float(high)) for low, high in itertools.pairwise(edges))
    return min(1.0, NUISANCE_RISK + worst)


def drop_bound(pairs: Pairs, confidence: float = 0.95) -> float:
    """The upper confidence bound of the true drop of accuracy: the least drop that the counts rule out.

        inf {d: drop_p_value(pairs, d) <= 1 - confidence}

    Units: 0.01 is one point of accuracy; found to a thousandth of a point, and rounded up.
    Raises: OptionError for a confidence outside (0, 1), or no examples.
    Source: as `drop_p_value`.

    >>> round(drop_bound(Pairs(lost=3, gained=2, same=1995)), 4)
    0.003
    """
    if not 0 < confidence < 1:
        raise OptionError(f"got confidence={confidence!r}; expected a number between 0 and 1, such as 0.95.")
    low, high = max(pairs.drop, 0.0), 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        if drop_p_value(pairs, middle) <= 1 - confidence:
            high = middle
        else:
            low = middle
    return high


def _score(lost: np.ndarray, gained: np.ndarray, count: int, drop: float) -> np.ndarray:
    """Tango's score statistic; larger speaks more against a drop this large."""
    linear = (lost + gained) * (1 - drop) - 2 * drop * (count - lost)
    likeliest = (linear + np.sqrt(linear**2 + 8.0 * count * gained * drop * (1 - drop))) / (4 * count)
    variance = count * (2 * likeliest + drop - drop**2)
    distance = count * drop - lost + gained
    return np.divide(distance, np.sqrt(variance), out=np.zeros(np.shape(distance)), where=variance > 0)


def _most_lost(gained: np.ndarray, count: int, drop: float, observed: float) -> np.ndarray:
    """For each number of gained answers the most lost ones whose score is at least the observed; -1 for none."""
    low, high = np.full(len(gained), -1), count - gained
    while bool((low < high).any()):
        middle = (low + high + 1) // 2
        enough = _score(middle, gained, count, drop) >= observed - 1e-9
        low, high = np.where(enough, middle, low), np.where(enough, high, middle - 1)
    return low
