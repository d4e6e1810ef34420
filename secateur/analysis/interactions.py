"""Interactions: what two removals cost together beyond what they cost apart."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur import oracle
from secateur.gated import GatedLoss
from secateur.types import Unit


def interactions(
    loss: GatedLoss, units: Iterable[Unit | str | int] | None = None, engine: str | oracle.Engine = "exact"
) -> Float64[Tensor, "units units"]:
    """The interaction of every pair of these units, by joint removal.

        I_uv = E(1 - e_u - e_v) - E(1 - e_u) - E(1 - e_v) + E(1);   the diagonal is 0

    Negative: the two cancel each other, and go together for less than the sum. Positive: one stands in for the other.

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
    chosen = torch.tensor(loss.units.positions(range(len(loss.units)) if units is None else units))
    measure = oracle.resolve(engine)
    alone = measure(loss, loss.gates(), chosen)
    joint = torch.zeros(len(chosen), len(chosen), dtype=torch.float64, device=loss.device)
    for row, unit in enumerate(chosen.tolist()):
        if row + 1 < len(chosen):
            without = loss.gates()
            without[unit] = 0.0
            joint[row, row + 1 :] = measure(loss, without, chosen[row + 1 :]) - alone[row + 1 :]
    return joint + joint.T
