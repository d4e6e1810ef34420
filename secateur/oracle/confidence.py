"""A lower bound of a sum of numbers of which only some have been seen, valid whenever one looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

BOLDEST = 0.5
"""The largest bet, in shares of what would risk everything on one draw."""
SMALLEST = 1e-100
"""No bets where all that is known is that numbers are no smaller than expected."""


def lower_bound(
    draws: Float64[Tensor, "draws sums"],
    weights: Float64[Tensor, " draws"],
    left: Float64[Tensor, " draws"],
    batches: Sequence[int],
    least: Float64[Tensor, "batches sums"],
    alpha: float,
) -> Float64[Tensor, " sums"]:
    """What each sum over all numbers is at least, with probability 1 - alpha for each, at all times at once.

    Numbers x_n are drawn without replacement, number n with probability w_n / W_t, W_t the weight of what is left
    before draw t. With Z_t = x / w of the number drawn, Y_t = (sum of x drawn before t) + W_t Z_t, any c_t and M_t >=
    c_t - min Z that are known before the draw, and bets 0 <= b_t < 1 / M_t:

        sum_n x_n >= (sum_t b_t / W_t Y_t - sum_t (Z_t - c_t)^2 psi(b_t M_t) / M_t^2 - log 1/alpha) / sum_t b_t / W_t

    with psi(a) = -log(1 - a) - a. docs/oracle.md proves it. Here c_t is the mean of Z and b_t follows its variance,
    over the batches that are over.

    Shape:
        draws (t, S): x of the numbers drawn, in order, for S sums; weights and left (t,): w and W_t; batches: their
        sizes, which add up to t; least (batches, S): the least that x / w can be among what is left at the start of
        each batch. -> (S,).
    Units:
        those of the numbers.
    Source:
        I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting, 2020, theorem 2; S. Shekhar
        et al., Risk-limiting financial audits via weighted sampling without replacement, 2023.

    >>> ones = torch.ones(500, 1, dtype=torch.float64)  # 500 of 1,000 ones seen, of numbers that could be 0 to anything
    >>> weights = torch.ones(500, dtype=torch.float64)
    >>> left = torch.arange(1000, 500, -1, dtype=torch.float64)
    >>> 960 < float(lower_bound(ones, weights, left, [100, 400], torch.zeros(2, 1, dtype=torch.float64), 0.05)) < 1000
    True
    """
    ratio = draws / weights[:, None]
    before = draws.cumsum(0) - draws
    wealth, stakes = torch.zeros_like(draws[0]), torch.zeros_like(draws[0])
    start = 0
    for size, floor in zip(batches, least, strict=True):
        stop = start + size
        centre = (ratio[:start].mean(0) if start else torch.zeros_like(wealth)).maximum(floor)
        active = centre - floor > SMALLEST  # of numbers that may be anything above what is expected nothing is known
        span = (centre - floor).where(active, 1.0)
        seen = (ratio[:start] - centre).square().sum(0)
        variance = (seen + (span / 4).square()) / (start + 1)
        bet = (math.sqrt(2 * math.log(1 / alpha) / stop) / variance.sqrt()).minimum(BOLDEST / span) * active
        part, remaining = ratio[start:stop], left[start:stop, None]
        total = before[start:stop] + remaining * part
        price = -torch.log1p(-bet * span) - bet * span
        wealth = wealth + bet * (total / remaining).sum(0) - price * ((part - centre) / span).square().sum(0)
        stakes = stakes + bet * (1 / remaining).sum()
        start = stop
    return ((wealth - math.log(1 / alpha)) / stakes).where(stakes > 0, -torch.inf)
