"""From a number a network to a verdict: intervals and tests, Holm's correction, and the rule of claims.toml."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from secateur.studies.claims.registry import Part

HOLDS, FAILS, PARTLY, UNDECIDED = "holds", "fails", "partly", "undecided"
UNMEASURED = "not measurable"
Verdict = Literal["holds", "fails", "partly", "undecided", "not measurable"]
"""Of a part: never partly. Of a claim: never not measurable."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The mean over networks, its interval (NaN where there are too few networks), and the p of the test."""

    estimate: float
    low: float
    high: float
    p: float
    verdict: Verdict


def decide(values: Sequence[float], part: Part, confidence: float) -> Decided:
    """Whether the mean over networks lies on the side of the threshold that the part says.

    Student's interval and two-sided test. Where all networks agree exactly there is no spread to judge by, and p is
    that of the sign test instead.

    >>> part = Part("x.y", "above", 0.5, "")
    >>> decide([0.6, 0.7, 0.8, 0.65], part, 0.95).verdict, decide([0.4, 0.9, 0.6], part, 0.95).verdict
    ('holds', 'undecided')
    """
    from scipy.stats import binomtest, ttest_1samp

    known = np.array([value for value in values if math.isfinite(value)], dtype=float)
    if not len(known):
        return Decided(math.nan, math.nan, math.nan, 1.0, UNMEASURED)
    middle = float(known.mean())
    if len(known) == 1:
        return Decided(middle, math.nan, math.nan, 1.0, UNDECIDED)
    if np.ptp(known) == 0:
        low = high = middle
        p = 1.0 if middle == part.threshold else float(binomtest(0, len(known)).pvalue)
    else:
        test: Any = ttest_1samp(known, part.threshold)
        interval = test.confidence_interval(confidence)
        low, high, p = float(interval.low), float(interval.high), float(test.pvalue)
    if p > 1 - confidence:
        return Decided(middle, low, high, p, UNDECIDED)
    return Decided(middle, low, high, p, HOLDS if (middle > part.threshold) == (part.says == "above") else FAILS)


def combine(parts: Sequence[Verdict]) -> Verdict:
    """The verdict on a claim from those on its parts; those that could not be measured do not count.

    >>> combine(["holds", "fails", "undecided"]), combine(["holds", "undecided"]), combine(["fails", "fails"])
    ('partly', 'undecided', 'fails')
    """
    measured = {part for part in parts if part != UNMEASURED}
    if {HOLDS, FAILS} <= measured:
        return PARTLY
    if not measured or UNDECIDED in measured:
        return UNDECIDED
    return HOLDS if HOLDS in measured else FAILS


def claim_p(parts: Sequence[Decided]) -> float:
    """The p of a claim: all decided parts are asserted, so the largest of theirs; 1 where none is decided."""
    return max((part.p for part in parts if part.verdict in (HOLDS, FAILS)), default=1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's corrected p-values: the smallest times n, the next times n - 1 ..., never falling, at most 1.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    ordered = np.array(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(ordered), 1.0)
    return corrected.tolist()
