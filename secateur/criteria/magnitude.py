"""The size of a unit's incoming weights: what most tools prune by."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.gated import GatedLoss


def magnitude(loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
    """The L2 norm of the parameters that make the unit: its incoming weights and bias, in every layer that makes it.

        score_u = sqrt(sum of w^2 over the incoming weights and biases of u)

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        those of the weights, not of the error; the smallest goes first.
    Raises:
        nothing.
    Source:
        Li et al. 2017, "Pruning filters for efficient ConvNets" (arXiv 1608.08710), with the L2 norm.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1)).eval()
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[3.0], [0.5]])), model[0].bias.copy_(torch.tensor([4.0, 0]))
    >>> magnitude(GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse"), torch.tensor([0, 1]))
    tensor([5.0000, 0.5000], dtype=torch.float64)
    """
    squares = torch.zeros(len(loss.units) + 1, dtype=torch.float64, device=loss.device)
    for incoming in loss.units.incoming:
        weight = loss.network.graph.weight(incoming.parameter).to(torch.float64)
        total = weight.square().reshape(len(weight), -1).sum(1)
        squares.index_add_(0, incoming.owner.to(loss.device) % len(squares), total)  # NOBODY, -1, is the last
    return squares[:-1].sqrt()[alive]
