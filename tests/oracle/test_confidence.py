"""The confidence bound's coverage, by simulation on numbers with heavy tails; too bold a bound is found out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from secateur.oracle.confidence import lower_bound

ALPHA = 0.1


def populations(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers with known weights and least values, x >= -w, of which a few, far below the others, hold half the sum."""
    draw = torch.Generator().manual_seed(seed)
    weights = torch.rand(count, generator=draw, dtype=torch.float64) ** -0.7
    share = torch.rand(count, generator=draw, dtype=torch.float64)
    numbers = torch.where(share < 0.98, 0.05, -1.0) * weights
    return numbers, weights


def violations(alpha: float, shift: float = 0.0, repetitions: int = 300, size: int = 400) -> float:
    """How often some bound, at any of the times that one looks, lies above the sum."""
    missed = 0
    for seed in range(repetitions):
        numbers, weights = populations(size, seed)
        draw = torch.Generator().manual_seed(10_000 + seed)
        order = (-torch.rand(size, generator=draw, dtype=torch.float64).log() / weights).argsort()
        x, w = numbers[order], weights[order]
        left = w.flip(0).cumsum(0).flip(0)
        batches: list[int] = []
        wrong = False
        for step in (10, 10, 20, 40, 80, 160):
            batches.append(step)
            seen = sum(batches)
            least = torch.full((len(batches), 1), -1.0 + shift, dtype=torch.float64)
            found = lower_bound(x[:seen, None], w[:seen], left[:seen], batches, least, alpha)
            wrong = wrong or float(found) > float(numbers.sum()) + 1e-9
        missed += wrong
    return missed / repetitions


def test_coverage_with_heavy_tails() -> None:
    rate = violations(ALPHA)
    assert rate <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 300)


def test_a_radius_that_is_too_small_is_found_out() -> None:
    """The least value understated, as a bound without a proof may be; and a bound at even odds."""
    assert violations(ALPHA, shift=1.04, repetitions=100) > 2 * ALPHA
    assert violations(0.9, repetitions=100) > ALPHA


def test_it_draws_near() -> None:
    """It is a bound worth having: of numbers of one sign, nearly all of the sum when nearly all weight is seen."""
    draw = torch.Generator().manual_seed(0)
    weights = torch.rand(5000, generator=draw, dtype=torch.float64)
    numbers = weights * (0.5 + 0.1 * torch.rand(5000, generator=draw, dtype=torch.float64))
    left = weights.flip(0).cumsum(0).flip(0)
    batches, least = [100, 900, 2000], torch.zeros(3, 1, dtype=torch.float64)
    found = lower_bound(numbers[:3000, None], weights[:3000], left[:3000], batches, least, 0.01)
    assert 0.97 * float(numbers.sum()) < float(found) < float(numbers.sum())


def test_each_sum_is_bounded_alone() -> None:
    numbers, weights = populations(200, 3)
    left = weights.flip(0).cumsum(0).flip(0)
    both = torch.stack((numbers, 2 * numbers), 1)
    least = torch.tensor([[-1.0, -2.0]] * 2, dtype=torch.float64)
    found = lower_bound(both[:100], weights[:100], left[:100], [40, 60], least, 0.05)
    assert torch.allclose(found[1], 2 * found[0], rtol=1e-12)
