"""Interactions: what two removals cost together beyond what they cost apart."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur import oracle
from secateur.analysis.joint import joint_errors
from secateur.gated import GatedLoss
from secateur.types import Unit


def interactions(
    loss: GatedLoss, units: Iterable[Unit | str | int] | None = None, engine: str | oracle.Engine = "exact"
) -> Float64[Tensor, "units units"]:
    """The interaction of every pair of these units, by joint removal.

        I_uv = E(1 - e_u - e_v) - E(1 - e_u) - E(1 - e_v) + E(1);   the diagonal is 0

    Negative: the two cancel each other, and go together for less than the sum. Positive: one stands in for the other.
    "exact" removes all pairs that share their readers at once (`joint_errors`); any other engine of the oracle is asked
    for a round after each removal.

    Shape:
        n units (all by default) -> (n, n) float64, symmetric.
    Units:
        change of the error, summed over examples.
    Raises:
        UnitError: no such unit, or one given twice. UnknownNameError: no engine of that name.
    Source:
        docs/design.md, "One idea".

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> interactions(loss)  # 0 - 1/2 - 1/2 + 2
    tensor([[0., 1.],
            [1., 0.]], dtype=torch.float64)
    """
    chosen = loss.units.positions(range(len(loss.units)) if units is None else units)
    upper = _by_pairs(loss, chosen) if engine == "exact" else _by_rounds(loss, chosen, oracle.resolve(engine))
    return upper + upper.T


def _by_pairs(loss: GatedLoss, chosen: list[int]) -> Tensor:
    count = len(chosen)
    first, second = torch.triu_indices(count, count, 1)
    pairs = torch.arange(len(first))
    off = torch.zeros(len(first) + count + 1, count, dtype=torch.bool)
    off[pairs, first] = off[pairs, second] = True
    off[len(first) : -1] = torch.eye(count, dtype=torch.bool)
    errors = joint_errors(loss, off, chosen)
    joint, alone, whole = errors[: len(first)], errors[len(first) : -1], errors[-1]
    upper = errors.new_zeros(count, count)
    upper[first, second] = joint - alone[first] - alone[second] + whole
    return upper


def _by_rounds(loss: GatedLoss, chosen: list[int], measure: oracle.Engine) -> Tensor:
    units = torch.tensor(chosen)
    alone = measure(loss, loss.gates(), units)
    upper = torch.zeros(len(units), len(units), dtype=torch.float64, device=loss.device)
    for row, unit in enumerate(chosen[:-1]):
        without = loss.gates()
        without[unit] = 0.0
        upper[row, row + 1 :] = measure(loss, without, units[row + 1 :]) - alone[row + 1 :]
    return upper
