"""The states that a unit is judged in: which others are off while it is switched off."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from secateur import stopping
from secateur.analysis.joint import joint_errors
from secateur.criteria import Oracle
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.ranking import gates_at

AT_ONCE = 8
"""Removals of every random order that are measured before it is seen which orders have left the tolerance."""
SETS_AT_ONCE = 1 << 18


def tolerable_states(
    loss: GatedLoss, tolerance: float, orders: int = 50, seed: int = 0
) -> Bool[Tensor, "states units"]:
    """All units on; the oracle's run and random orders of removal, each while E(g) - E(1) <= tolerance.

    Shape: (S, K), True for off; each state once, all units on first.
    Units: the tolerance is a rise of the error, summed over examples.
    """
    run = remove_units(loss, Oracle(), stopping.error_rise(absolute=tolerance))
    last = run.result(stopping.error_rise(absolute=tolerance))[0].step
    states = [gates_at(loss.units, run, step) == 0 for step in range(last + 1)]
    states += _random_states(loss, tolerance, orders, seed)
    return torch.stack(list({state.numpy().tobytes(): state for state in states}.values()))


def _random_states(loss: GatedLoss, tolerance: float, orders: int, seed: int) -> list[Tensor]:
    count, generator = len(loss.units), torch.Generator().manual_seed(seed)
    place = torch.stack([torch.randperm(count, generator=generator).argsort() for _ in range(orders)])
    limit, found = float(loss().detach()) + tolerance, []
    for start in range(1, count + 1, AT_ONCE):
        sizes = torch.arange(start, min(start + AT_ONCE, count + 1))
        off = place[:, None, :] < sizes[None, :, None]  # (orders, sizes, units)
        fine = joint_errors(loss, off.flatten(0, 1)).view(off.shape[:2]).cpu() <= limit
        fine = fine.cummin(1).values  # an order ends where it first leaves the tolerance
        found += list(off[fine])
        place = place[fine[:, -1]]
        if not len(place):
            break
    return found


def cost_range(
    loss: GatedLoss, states: Bool[Tensor, "states units"]
) -> tuple[Float64[Tensor, " units"], Float64[Tensor, " units"]]:
    """The least and the greatest of d(u|g) = E(g - e_u) - E(g) over the states g in which unit u is on."""
    count = states.shape[1]
    low = torch.full((count,), torch.inf, dtype=torch.float64)
    high = -low
    for part in states.split(max(1, SETS_AT_ONCE // (count + 1))):
        without = part[:, None, :] | torch.eye(count, dtype=torch.bool)
        sets = torch.cat((part[:, None, :], without), 1)
        errors = joint_errors(loss, sets.flatten(0, 1)).view(len(part), count + 1).cpu()
        costs = errors[:, 1:] - errors[:, :1]
        low = torch.minimum(low, torch.where(part, torch.inf, costs).amin(0))
        high = torch.maximum(high, torch.where(part, -torch.inf, costs).amax(0))
    return low, high
