"""Where the user's own module reads units: the layers whose weights have a column for each, or several."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.units.graph import argument, module_path

Reader = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class Place:
    """A layer that reads units: index i of dimension `dim` of its input, and of dimension 1 of its weight, belongs to
    unit owner[i] (-1: to none)."""

    path: str
    layer: Reader
    dim: int
    owner: Tensor
    dimensions: int  # of its input


def places(loss: GatedLoss) -> list[Place]:
    """The layers that read units, in order of execution.

    Shape: owner (columns of the layer's weight,).
    Raises: OptionError where a reader is no plain layer of the module, or off is not zero: peers work on modules, and
    what they switch off gives 0.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 1)).eval()
    >>> [(place.path, place.owner.tolist()) for place in places(GatedLoss(model, torch.ones(3, 1), "self"))]
    [('1', [0, 1])]
    """
    if loss.off != "zero":
        raise OptionError(f"peers switch units off to zero, and the loss has off={loss.off!r}; expected off='zero'.")
    found = []
    for node, reading in loss.network.readings.items():
        path = module_path(node)
        layer = loss.model.get_submodule(path)
        if not isinstance(layer, Reader) or layer.weight.shape[1] != len(reading.owner):
            raise OptionError(
                f"units are read in {path or type(loss.model).__name__}, a {type(layer).__name__}; the peers work on "
                "Linear layers and convolutions. Leave the peers out for this network."
            )
        dimensions = argument(node, 0).meta["val"].dim()
        found.append(Place(path, layer, reading.dim, reading.owner, dimensions))
    return found
