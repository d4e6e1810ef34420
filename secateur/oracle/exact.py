"""The same scores for a fraction of the work: from cached values, starting at the units' readers."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.gated import GatedLoss
from secateur.oracle.changes import Changes


def exact(loss: GatedLoss, gates: Tensor, units: Tensor) -> Tensor:
    """E(g - e_u) - E(g) for each unit u, from cached values: agrees with `reference`.

    Shape:
        gates (K,), units (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; negative where the network is better without the unit.
    Raises:
        NonFiniteError: a loss is NaN or infinite with a unit off.
    Source:
        The paper (arXiv 1701.04465), section 2.1, by the update y - W_u x_u of a reader's output (see tail.py).
    """
    with torch.no_grad():
        return loss.total(Changes(loss, gates, units).totals)
