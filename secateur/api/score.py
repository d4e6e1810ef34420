"""Score every unit of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur import criteria
from secateur.api.configuration import CriterionName, EngineName
from secateur.gated import GatedLoss, LossFunction, Off
from secateur.units import UnitSet


@dataclass(frozen=True)
class Scores:
    """What a criterion says of every unit: `values` (K,) float64, in the order of `units`."""

    values: Float64[Tensor, " units"]
    units: UnitSet


def score(
    model: nn.Module,
    data: Any,
    *,
    loss: str | LossFunction = "cross_entropy",
    criterion: CriterionName = "oracle",
    engine: EngineName = None,
    off: Off = "zero",
    tile: int | None = None,
    max_memory: int | str | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> Scores:
    """Score every unit of a network: by default the true change of error when it is switched off.

        oracle: score_u = E(1 - e_u) - E(1)

    Shape:
        data: (x, y) tensors or arrays, a Dataset, a DataLoader, or a dict of tensors. Values (K,) float64.
    Units:
        change of the error, summed over examples (magnitude and random: their own); the lowest is removed first.
    Raises:
        ModeError, DataError, NonFiniteError, NondeterministicError, TraceError, NoUnitsError: see GatedLoss.
        UnknownNameError: no criterion, engine or loss of that name. OptionError: an engine for another criterion.
    Source:
        The paper (arXiv 1701.04465), section 2.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> scores = score(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> {unit.name: value for unit, value in zip(scores.units, scores.values.tolist())}
    {'0:0': -1.5, '0:1': -1.5}
    """
    chosen = criteria.resolve(criterion, engine, seed)
    gated = GatedLoss(model, data, loss, off=off, tile=tile, device=device, max_memory=max_memory)
    return Scores(chosen(gated, torch.arange(len(gated.units), device=gated.device)).cpu(), gated.units)
