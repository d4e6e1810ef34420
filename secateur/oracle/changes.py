"""What switching each candidate off changes, under given gates: in the compiled loop where that can, else in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.gated import GatedLoss, Tile
from secateur.oracle.dense import Dense
from secateur.oracle.tail import base_forward, chunks_of, find_fronts


class Changes:
    """loss_n(g - e_u) - loss_n(g) for each of these units (positions), on any tile of the loss's examples."""

    def __init__(self, loss: GatedLoss, gates: Tensor, units: Tensor) -> None:
        self.loss, self.gates, self.units = loss, gates, units
        self.fronts = find_fronts(loss.network, units.tolist())
        self.dense = [Dense.of(loss, gates, front) for front in self.fronts]

    def totals(self, tile: Tile) -> Tensor:
        """The sum over the tile's examples: (candidates,) float64."""
        return self._measure(tile, summed=True)

    def rows(self, tile: Tile) -> Tensor:
        """Each example's: (candidates, examples) float64."""
        return self._measure(tile, summed=False)

    def _measure(self, tile: Tile, summed: bool) -> Tensor:
        shape = (len(self.units),) if summed else (len(self.units), len(tile))
        found = torch.zeros(shape, dtype=torch.float64, device=self.gates.device)
        with torch.no_grad():
            base, on = base_forward(self.loss, self.gates, tile, self.fronts)
            for front, dense in zip(self.fronts, self.dense, strict=True):
                if dense is not None:
                    changes = dense.changes(base, on, tile, summed)
                    found[front.candidates] = changes
                    if bool(changes.isfinite().all()):
                        continue  # else: again below, which names the example
                for chunk in chunks_of(self.loss, self.gates, tile, front, base, on):
                    change = chunk.off() - on
                    found[chunk.candidates] = change.sum(1) if summed else change
        return found
