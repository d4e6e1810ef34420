"""Gain curves: the error when one unit's output is multiplied, the paper's picture of the error surface."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.errors import DataError, UnitError
from secateur.gated import GatedLoss, Tile
from secateur.oracle.tail import chunks, find_fronts
from secateur.types import Unit


def gain_curve(
    loss: GatedLoss,
    unit: Unit | str | int,
    gains: Sequence[float] | Tensor,
    alive: Int64[Tensor, " alive"] | None = None,
) -> Float64[Tensor, " gains"]:
    """The error with the unit's gate at each of these gains; 0 is off, 1 leaves the network as it is.

        curve(a) = E(g + (a - 1) e_u)

    The gate sits where the unit is read: behind a BatchNorm or an activation that lies between maker and reader.

    Shape:
        gains (n,) -> (n,) float64. `alive`: positions of the units that are on, the unit among them; all by default.
    Units:
        the error, summed over examples.
    Raises:
        UnitError: no such unit, or it is off. DataError: no gains, or NaN or infinity among them.
    Source:
        The paper (arXiv 1701.04465), section 4: gains from 0 to 10 by steps of 0.001.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> gain_curve(loss, "0:0", [0.0, 1.0, 2.0])  # 1/2 (a + 1)^2
    tensor([0.5000, 2.0000, 4.5000], dtype=torch.float64)
    """
    gains = torch.as_tensor(gains, dtype=torch.float64, device=loss.device)
    if gains.dim() != 1 or len(gains) == 0 or not bool(gains.isfinite().all()):
        raise DataError(
            f"gains are {tuple(gains.shape)}; expected a list of finite numbers, such as [0, 0.5, 1, 2, 10]"
        )
    position = loss.units.position(unit)
    gates = loss.gates(alive)
    if gates[position] != 1:
        raise UnitError(f"{loss.units[position].name} is off, so it has no gain; keep it in `alive`")
    fronts = find_fronts(loss.network, [position] * len(gains))

    def errors(tile: Tile) -> Tensor:
        found = torch.zeros_like(gains)
        for chunk in chunks(loss, gates, tile, fronts):
            found[chunk.candidates] = chunk.losses(gains[chunk.candidates]).sum(1)
        return found

    with torch.no_grad():
        return loss.total(errors)
