"""The rule that turns numbers into verdicts, beside naive twins."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from secateur.studies.claims.decision import Decided, claim_p, combine, decide, holm
from secateur.studies.claims.registry import Part

ABOVE, BELOW = Part("x.y", "above", 0.5, ""), Part("x.y", "below", 0.5, "")


def naive_holm(p_values: list[float]) -> list[float]:
    """A hypothesis is rejected at level a where its p, and every smaller one, is at most a over those left; its
    corrected p is the least a at which it is."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    found = [0.0] * len(p_values)
    for place, at in enumerate(order):
        needed = [p_values[other] * (len(p_values) - earlier) for earlier, other in enumerate(order[: place + 1])]
        found[at] = min(1.0, max(needed))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_the_naive_one(seed: int) -> None:
    p_values = (np.random.default_rng(seed).random(12) ** 4).tolist()
    assert holm(p_values) == pytest.approx(naive_holm(p_values), rel=1e-12)


def naive_t_test(values: list[float], threshold: float) -> tuple[float, float, float]:
    """p of the two-sided t-test by summing Student's density, and the interval from where its tail is 2.5%."""
    count = len(values)
    mean = sum(values) / count
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1) / count)
    free = count - 1
    x = np.linspace(0, 400, 4_000_001)
    density = (1 + x**2 / free) ** (-(free + 1) / 2)
    tail = 1 - np.concatenate(([0], np.cumsum((density[1:] + density[:-1]) / 2))) * (x[1] - x[0]) * math.gamma(
        (free + 1) / 2
    ) * 2 / math.sqrt(free * math.pi) / math.gamma(free / 2)
    far = float(np.interp(0.05, tail[::-1], x[::-1]))
    p = float(np.interp(abs(mean - threshold) / spread, x, tail))
    return p, mean - far * spread, mean + far * spread


@pytest.mark.parametrize(("seed", "count"), list(itertools.product(range(5), (4, 6, 20))))
def test_decided_by_the_naive_t_test(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).normal(0.2 * seed, 0.3, count).tolist()
    found = decide(values, ABOVE, 0.95)
    p, low, high = naive_t_test(values, ABOVE.threshold)
    assert found.p == pytest.approx(p, abs=1e-5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.estimate == pytest.approx(sum(values) / count)
    expected = "undecided" if p > 0.05 else "holds" if np.mean(values) > 0.5 else "fails"
    assert found.verdict == expected


def test_without_spread_the_sign_test_decides() -> None:
    assert decide([0.6] * 6, ABOVE, 0.95).p == pytest.approx(2 / 2**6)
    assert decide([0.6] * 6, ABOVE, 0.95).verdict == "holds"
    assert decide([0.6] * 5, ABOVE, 0.95).verdict == "undecided"
    assert decide([0.6], ABOVE, 0.95).verdict == "undecided"


def test_below_is_the_reverse_of_above() -> None:
    values = [0.1, 0.2, 0.3, 0.25, 0.15, 0.35, 0.05]
    assert decide(values, BELOW, 0.95).verdict == "holds"
    assert decide(values, ABOVE, 0.95).verdict == "fails"
    assert decide([0.1, 0.9, 0.6], ABOVE, 0.95).verdict == "undecided"
    assert decide([0.5] * 10, ABOVE, 0.95).verdict == "undecided"  # on the threshold is neither above nor below
    assert decide([], ABOVE, 0.95).verdict == decide([math.nan], ABOVE, 0.95).verdict == "not measurable"


def test_values_that_a_network_lacks_do_not_count() -> None:
    values = [0.6, 0.7, 0.8, 0.9, 0.65, 0.75, 0.85]
    assert decide([*values, math.nan, math.inf], ABOVE, 0.95) == decide(values, ABOVE, 0.95)


def naive_rule(parts: list[str]) -> str:
    parts = [part for part in parts if part != "not measurable"]
    if "holds" in parts and "fails" in parts:
        return "partly"
    for verdict in ("holds", "fails"):
        if parts and all(part == verdict for part in parts):
            return verdict
    return "undecided"


@pytest.mark.parametrize("length", range(4))
def test_the_rule_over_every_combination(length: int) -> None:
    for parts in itertools.product(("holds", "fails", "undecided", "not measurable"), repeat=length):
        assert combine(parts) == naive_rule(list(parts))


def test_a_claim_is_as_sure_as_the_least_sure_of_its_decided_parts() -> None:
    parts = [Decided(0, 0, 0, 0.002, "holds"), Decided(0, 0, 0, 0.03, "fails"), Decided(0, 0, 0, 0.6, "undecided")]
    assert claim_p(parts) == 0.03
    assert claim_p(parts[2:]) == 1.0
