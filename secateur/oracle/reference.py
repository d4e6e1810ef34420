"""The oracle as one would write it down: for each unit, one forward of everything with the unit off."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.gated import GatedLoss, Tile


def reference(loss: GatedLoss, gates: Tensor, units: Tensor) -> Tensor:
    """E(g - e_u) - E(g) for each unit u, by a full forward of the gated network for each.

    Shape:
        gates (K,), units (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; negative where the network is better without the unit.
    Raises:
        NonFiniteError: a loss is NaN or infinite with a unit off.
    Source:
        The paper (arXiv 1701.04465), section 2.1: brute force.
    """

    def changes(tile: Tile) -> Tensor:
        on = loss.tile_losses(tile, gates)
        found = torch.zeros(len(units), dtype=torch.float64, device=gates.device)
        for at, unit in enumerate(units.tolist()):
            without = gates.clone()
            without[unit] = 0.0
            found[at] = (loss.tile_losses(tile, without) - on).sum()
        return found

    with torch.no_grad():
        return loss.total(changes)
