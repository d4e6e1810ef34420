"""The paired test: against enumeration, and by the probability that it certifies what is not so."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import beta, multinomial

from secateur.errors import OptionError, UnknownNameError
from secateur.paired import NUISANCE_RISK, Pairs, _score, drop_bound, drop_p_value

SMALL = [(12, 0.1), (20, 0.05), (25, 0.2)]


def tables(count: int) -> list[Pairs]:
    return [Pairs(a, b, count - a - b) for a, b in itertools.product(range(count + 1), repeat=2) if a + b <= count]


def likeliest(pairs: Pairs, drop: float) -> float:
    """The likeliest probability of a gain, if the drop is exactly this: found numerically."""

    def surprise(gain: float) -> float:
        logs = [(pairs.lost, gain + drop), (pairs.gained, gain), (pairs.same, 1 - 2 * gain - drop)]
        return -sum(n * math.log(max(p, 1e-300)) for n, p in logs if n)

    return float(minimize_scalar(surprise, bounds=(0, (1 - drop) / 2), method="bounded", options={"xatol": 1e-12}).x)


def score(pairs: Pairs, drop: float) -> float:
    gain = likeliest(pairs, drop)
    variance = pairs.examples * (2 * gain + drop - drop**2)
    return (pairs.examples * drop - pairs.lost + pairs.gained) / math.sqrt(variance)


def by_enumeration(pairs: Pairs, drop: float) -> float:
    """The p-value as it is defined, on a grid of the unknown probability of a gain."""
    count = pairs.examples
    as_good = [t for t in tables(count) if score(t, drop) >= score(pairs, drop) - 1e-7]
    counts = [(t.lost, t.gained, t.same) for t in as_good]
    highest = min(beta.isf(NUISANCE_RISK, pairs.gained + 1, count - pairs.gained), (1 - drop) / 2)
    grid = np.linspace(0, highest, 300)
    return NUISANCE_RISK + max(
        float(np.nansum(multinomial.pmf(counts, count, [gain + drop, gain, max(0.0, 1 - 2 * gain - drop)])))
        for gain in grid
    )


@pytest.mark.parametrize(("count", "drop"), [(12, 0.1), (12, 0.3), (15, 0.05)])
def test_is_the_exact_probability(count: int, drop: float) -> None:
    for pairs in tables(count)[::5]:
        if pairs.drop < drop - 1e-9 and pairs.gained < count:
            found, expected = drop_p_value(pairs, drop), min(1.0, by_enumeration(pairs, drop))
            assert expected - 1e-9 <= found <= 1.25 * expected, pairs


@pytest.mark.parametrize(("count", "drop"), SMALL)
def test_rarely_certifies_what_is_not_so(count: int, drop: float) -> None:
    """Exact: the probability of all tables that would be certified, at the very drop that must not be, and above."""
    certified = [(t.lost, t.gained, t.same) for t in tables(count) if drop_p_value(t, drop) <= 0.05]
    for gain in np.linspace(0, (1 - drop) / 2, 60):
        for more in (0.0, 0.02):
            lost = min(gain + drop + more, 1 - gain)
            risk = multinomial.pmf(certified, count, [lost, gain, max(0.0, 1 - lost - gain)]) if certified else 0.0
            assert float(np.nansum(risk)) <= 0.05


def test_certifies_by_simulation_at_most_as_often_as_promised() -> None:
    """The same for 1,000 examples, where tables are too many to count: the risk is at most 5%, and not far below."""
    generator = np.random.default_rng(0)
    rates = []
    for gain in (0.0, 0.002, 0.02):
        draws = generator.multinomial(1000, [gain + 0.01, gain, 1 - 2 * gain - 0.01], size=1500)
        rates.append(np.mean([drop_p_value(Pairs(*map(int, draw)), 0.01) <= 0.05 for draw in draws]))
    assert max(rates) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)
    assert min(rates[1:]) >= 0.025


@pytest.mark.parametrize(("count", "drop"), [*SMALL, (60, 0.01), (60, 0.1)])
def test_the_score_falls_with_what_is_lost_and_rises_with_what_is_gained(count: int, drop: float) -> None:
    """What the bound over a cell of the unknown rests on."""
    lost, gained = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
    scores = np.where(lost + gained <= count, _score(lost, gained, count, drop), np.nan)
    down, up = np.diff(scores, axis=0), np.diff(scores, axis=1)
    assert (down[~np.isnan(down)] <= 1e-9).all()
    assert (up[~np.isnan(up)] >= -1e-9).all()


def test_few_examples_certify_nothing() -> None:
    assert drop_p_value(Pairs(0, 0, 300), 0.01) > 0.05  # .99^298 = .05: it may well lose 1%, and show no loss
    assert drop_p_value(Pairs(0, 0, 301), 0.01) <= 0.05


def test_the_bound_is_where_certainty_ends() -> None:
    for pairs in (Pairs(3, 2, 995), Pairs(0, 0, 500), Pairs(20, 30, 4950), Pairs(60, 5, 435)):
        bound = drop_bound(pairs)
        assert drop_p_value(pairs, bound) <= 0.05 < drop_p_value(pairs, bound - 2e-5)
        assert bound > pairs.drop


def test_is_close_to_the_normal_bound_where_that_is_good() -> None:
    pairs = Pairs(300, 250, 19_450)
    normal = pairs.drop + 1.645 * math.sqrt(550) / 20_000
    assert drop_bound(pairs) == pytest.approx(normal, rel=0.03)


def test_no_drop_is_never_certified_without_changes() -> None:
    assert drop_p_value(Pairs(0, 0, 100), 0.0) == 1.0


@pytest.mark.usefixtures("unchecked")
def test_refusals() -> None:
    with pytest.raises(OptionError, match="a drop from 0 to 1"):
        drop_p_value(Pairs(0, 0, 10), 1.0)
    with pytest.raises(OptionError, match="0 examples"):
        drop_p_value(Pairs(0, 0, 0), 0.1)
    with pytest.raises(OptionError, match=r"confidence=95"):
        drop_bound(Pairs(0, 0, 10), 95)
    with pytest.raises(UnknownNameError, match="accuracy_gained"):
        Pairs.read("accuracy", {"accuracy_lost": 1.0})
