"""The plain loop: for every unit, one forward of all examples with the unit off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.baselines.passes import batches, error, fastest, sizes
from secateur.baselines.places import places
from secateur.gated import GatedLoss, exactly


class PlainLoop:
    """E without the unit minus E with it, by one forward of the user's own module for each unit.

        score_u = E(W with u's columns 0) - E(W)

    The unit is switched off in the weights of the layers that read it, which costs nothing (a hook would copy what it
    changes), in inference mode, in batches of the size that is fastest.

    Shape: units (n,) positions -> (n,) float64.
    Units: change of the error, summed over examples.
    Raises: OptionError where the module's readers are no plain layers.
    Source: PAPER.md, the brute-force criterion.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = nn.init.ones_(layer.weight)
    >>> PlainLoop(GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), "sse"))(torch.tensor([0]))
    tensor([-1.5000], dtype=torch.float64)
    """

    samples = True
    note = ""

    def __init__(self, loss: GatedLoss) -> None:
        self.loss, self.places = loss, places(loss)
        with torch.inference_mode(), exactly():
            self.batch = fastest(sizes(loss), lambda size: error(loss, batches(loss, size)))
        self.tiles = batches(loss, self.batch)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"batch": self.batch}

    def forwards(self, units: Tensor) -> int:
        """How many forwards of all examples these units take."""
        return len(units) + 1

    def __call__(self, units: Tensor) -> Float64[Tensor, " units"]:
        scores = torch.zeros(len(units), dtype=torch.float64)
        with torch.inference_mode(), exactly():
            on = error(self.loss, self.tiles)
            for at, unit in enumerate(units.tolist()):
                scores[at] = self._without(unit) - on
        return scores

    def _without(self, unit: int) -> Tensor:
        kept = []
        try:
            for place in self.places:
                columns = (place.owner == unit).nonzero().flatten()
                if len(columns):
                    weight = place.layer.weight
                    kept.append((weight, columns, weight[:, columns].clone()))
                    weight[:, columns] = 0
            return error(self.loss, self.tiles)
        finally:
            for weight, columns, values in reversed(kept):
                weight[:, columns] = values
