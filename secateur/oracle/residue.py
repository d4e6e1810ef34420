"""How far the true change of each example's loss can lie from its first-order estimate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.gated import GatedLoss
from secateur.oracle.bounds import bounded_units, curvature, last_reader, sizes
from secateur.oracle.slopes import Slopes


@dataclass(frozen=True)
class Residue:
    """low <= change - first <= high for every example and unit; where `proved` is False, that is only supposed."""

    low: Float64[Tensor, "examples units"]
    high: Float64[Tensor, "examples units"]
    proved: Tensor  # (units,) bool


def residue(loss: GatedLoss, gates: Float64[Tensor, " units"], known: Slopes, reached: Tensor) -> Residue:
    """Bounds of change - first, from how far the outputs can move (`reached`: `influence`) and how steep the loss is.

        |change_nu| <= sum_c steep_nc a_nuc (+ 1/2 sum_c a_nuc^2 for squares),    a_nu = reach_nu influence_u
        change_nu >= - loss_n

    steep: for bce 1 each; for squares |z - t|. cross_entropy of class y is log(1 + sum of e^(z_c - z_y) over the
    others), so that with d = a_y + max a

        log(1 + (e^loss_n - 1) e^-d) <= loss_n + change_nu <= log(1 + (e^loss_n - 1) e^d)

    which stays small for an example that is classified with confidence. For units
    that the last linear layer alone reads also 0 <= change - first <= c/2 rho^2 (bounds.py). A unit for which nothing
    is known is supposed to be no steeper than the steepest example seen: |change| <= reach_nu max_m |first_mu| /
    reach_mu.

    Shape:
        known: of these gates; reached (K, outputs) -> (N, K).
    Units:
        change of one example's loss.
    Source:
        docs/oracle.md: Racing.
    """
    most = _most(loss, known, reached)
    least = None if most is None else -most
    if loss.loss == "cross_entropy" and loss._target is not None and loss._target.dim() == 1:
        assert most is not None
        least, most = _log_odds(known, -most), _log_odds(known, most)
    steepest = (known.first.abs() / known.reach.clamp_min(1e-300)).amax(0)
    supposed = 4 * known.reach * steepest
    proved = reached.isfinite().all(1) & torch.tensor(most is not None, device=gates.device)
    high = supposed if most is None else most.where(proved, supposed)
    low = -supposed if least is None else least.where(proved, -supposed)
    if loss.maps:  # a user's own loss may be negative
        low = low.maximum(-known.on[:, None])
    low, high = low - known.first, high - known.first
    last = last_reader(loss)
    if last is not None:
        owner = loss.network.readings[last].owner
        lonely = torch.bincount(owner[owner >= 0], minlength=len(gates)) == 1
        inside = (bounded_units(loss) & lonely).to(gates.device)
        size = gates.new_zeros(len(gates))
        size[owner[owner >= 0].to(gates.device)] = sizes(loss, last)
        bent = curvature(loss) / 2 * (known.reach * size).square()
        low, high = low.clamp_min(0.0).where(inside, low), high.minimum(bent).where(inside, high)
        proved = proved | inside
    return Residue(low.minimum(torch.zeros_like(low)), high.clamp_min(0.0), proved)


def _most(loss: GatedLoss, known: Slopes, reached: Tensor) -> Tensor | None:
    """|change| of every example and unit at most (of a class's log odds, for cross_entropy with classes as targets);
    None for a user's own loss."""
    a = reached.nan_to_num(posinf=0.0)
    target = loss._target
    if loss.loss == "bce":
        return known.reach * a.sum(1)
    if loss.loss in ("sse", "mse", "self") and target is not None:
        scale = 2 / a.shape[1] if loss.loss == "mse" else 1.0
        away = (known.output - target.to(known.output).flatten(1)).abs()
        return scale * (known.reach * (away @ a.T) + known.reach.square() * a.square().sum(1) / 2)
    if loss.loss == "cross_entropy" and target is not None:
        if target.dim() == 1:
            return known.reach * (a.T[target.to(a.device)] + a.amax(1))
        positions = a.unflatten(1, (loss.classes, -1)).amax(1).sum(1)
        mass = float(target.sum(1).max()) if target.is_floating_point() else 1.0
        return 2 * mass * known.reach * positions
    return None


def _log_odds(known: Slopes, moved: Tensor) -> Tensor:
    """The change of log(1 + odds), when the logarithm of the odds moves. A loss is no more exact than the answer."""
    rounding = 4 * torch.finfo(torch.float64).eps * (1 + known.output.abs().amax(1))
    on = known.on.maximum(rounding)[:, None]
    odds = on + (-torch.expm1(-on)).log()  # log(e^on - 1), without overflow
    return torch.nn.functional.softplus(odds + moved) - on
