"""Units by layer: which layer loses its units when."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from secateur.errors import RunError
from secateur.ranking import Units
from secateur.trace import Trace


@dataclass(frozen=True, slots=True, eq=False)
class UnitsByLayer:
    """How many units each layer has left: `left` (steps, layers), one row after 0, 1, 2 ... removals."""

    layers: tuple[str, ...]
    left: Int64[Tensor, "steps layers"]


def units_by_layer(trace: Trace, units: Units) -> UnitsByLayer:
    """How many units each layer has left after each removal of a trace.

        left[m, l] = number of units u of layer l with g_u = 1 after m removals

    Shape:
        (steps, layers) int64; the layers in order of execution.
    Units:
        units; row 0 is the untouched network.
    Raises:
        RunError: the trace removes a unit that these are not.
    Source:
        PAPER.md, claim 6: the oracle empties the deepest layer first.

    >>> import math
    >>> from secateur.trace import Step
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)).eval()
    >>> from secateur.gated import GatedLoss
    >>> units = GatedLoss(model, (torch.zeros(2, 1), torch.zeros(2, 1)), "sse").units
    >>> trace = Trace(4, steps=[Step(0, None, 1.0, math.nan), Step(1, "1:0", 1.5, 0.5)])
    >>> units_by_layer(trace, units)
    UnitsByLayer(layers=('0', '1'), left=tensor([[2, 2],
            [2, 1]]))
    """
    home = {unit.name: unit.layer for unit in units}
    layers = tuple(dict.fromkeys(home.values()))
    left = torch.zeros(len(trace.removed) + 1, len(layers), dtype=torch.int64)
    for layer in home.values():
        left[:, layers.index(layer)] += 1
    for step, name in enumerate(trace.removed, start=1):
        if name not in home:
            raise RunError(f"the run removes unit {name!r}, which this network lacks: it is a run of another network.")
        left[step:, layers.index(home[name])] -= 1
    return UnitsByLayer(layers, left)
