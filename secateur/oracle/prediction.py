"""What the oracle would say, guessed from one pass over the examples: it ranks candidates, and decides nothing."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.gated import GatedLoss, Tile
from secateur.oracle.slopes import GatePass


def slope_and_curvature(
    loss: GatedLoss, gates: Float64[Tensor, " units"], seed: int = 0
) -> tuple[Float64[Tensor, " units"], Float64[Tensor, " units"]]:
    """First order, and an estimate of half the curvature, by one forward pass and two backward.

        first_u = -dE/dg_u,    curved_u = 1/2 sum_n (v_n . dz_n/dg_u)^2

    v_n is random with E v v' = the Hessian H_n of the loss in the network's answer z_n, so the mean of `curved` is half
    the Gauss-Newton curvature, 1/2 sum_n J_n' H_n J_n: for cross_entropy v = (a class drawn from the softmax, one-hot)
    - softmax, for bce random signs times sqrt(s (1 - s)), for squares random signs. A user's own loss has curved = 0.

    Shape:
        gates (K,) -> (K,), (K,) float64; 0 for a unit that is off.
    Units:
        change of the error, summed over examples.
    Raises:
        NonFiniteError: a loss is NaN or infinite.
    Source:
        N. Schraudolph 2002, the Gauss-Newton matrix; A. Dangel et al. 2020 (BackPACK), its sampled diagonal.
    """

    def of_tile(tile: Tile) -> Tensor:
        run = GatePass(loss, gates, tile)
        first = run.slopes(run.on.sum()).sum(0)
        probe = _probe(loss, run.output.detach().double(), seed, tile.start)
        if probe is None:
            return torch.stack((first, torch.zeros_like(first)))
        return torch.stack((first, run.slopes((probe * run.output).sum()).square().sum(0) / 2))

    first, curved = loss.total(of_tile)
    return first, curved


def _probe(loss: GatedLoss, output: Tensor, seed: int, start: int) -> Tensor | None:
    """A random vector for each answer, whose covariance is the Hessian of the loss there; None for a user's loss."""
    draw = torch.Generator().manual_seed((seed * 1_000_003 + start) % (1 << 63))
    if loss.loss == "cross_entropy":
        chances = output.softmax(1)
        uniform = torch.rand(output[:, :1].shape, generator=draw, dtype=torch.float64).to(output.device)
        drawn = (chances.cumsum(1) < uniform).sum(1, keepdim=True).clamp_max(output.shape[1] - 1)
        return torch.zeros_like(output).scatter(1, drawn, 1.0) - chances
    signs = torch.randint(2, output.shape, generator=draw).to(output) * 2 - 1
    if loss.loss == "bce":
        return signs * (output.sigmoid() * (-output).sigmoid()).sqrt()
    if loss.loss == "mse":
        return signs * (2 / max(1, output[0].numel())) ** 0.5
    return signs if loss.loss in ("sse", "self") else None
