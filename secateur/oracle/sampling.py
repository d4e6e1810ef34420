"""Some of the examples: the change of each one's loss."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.gated import GatedLoss
from secateur.gated.before import Before, Under
from secateur.oracle.changes import Changes


def changes_at(
    loss: GatedLoss,
    gates: Float64[Tensor, " all"],
    units: Int64[Tensor, " units"],
    examples: Int64[Tensor, " examples"],
) -> Float64[Tensor, "units examples"]:
    """The change of some examples' losses when each of these units goes off.

        change_un = loss_n(g - e_u) - loss_n(g)

    Shape:
        gates (K,), units (n,) positions, examples (m,) positions -> (n, m) float64.
    Units:
        change of one example's loss; over all examples they add up to the oracle's score.
    Raises:
        NonFiniteError: a loss is NaN or infinite with a unit off.
    Source:
        The paper (arXiv 1701.04465), section 2.1, example by example.
    """
    if not len(units) or not len(examples):
        return gates.new_zeros(len(units), len(examples))
    some = only(loss, examples)
    changes = Changes(some, gates, units)
    with torch.no_grad():
        return some.collect(lambda tile: changes.rows(tile).T).T


def only(loss: GatedLoss, examples: Int64[Tensor, " examples"]) -> GatedLoss:
    """The same E(g) on some of its examples, without anything being checked anew."""
    other, whole, at = copy.copy(loss), loss.examples, examples.cpu()
    named = whole.fields
    fields = {k: v[at] for k, v in named.items()} if isinstance(named, dict) else tuple(v[at] for v in named)
    target = None if whole.target is None else whole.target[at]
    other.examples = replace(whole, fields=fields, inputs=tuple(x[at] for x in whole.inputs), target=target)
    other._before = Before(loss.network, other.examples, loss.memory.cache // 8)
    other._under = Under(0)
    if loss._target is not None:
        other._target = loss._target[at.to(loss._target.device)]
    return other
