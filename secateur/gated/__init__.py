"""E(g): the gated network and its error."""

from secateur.gated.answers import OUTPUT_TOLERANCES, answer, exactly
from secateur.gated.digest import weights_digest
from secateur.gated.loss import GatedLoss, LossFunction, Tile, finite
from secateur.gated.network import GatedNetwork, Off

__all__ = [
    "OUTPUT_TOLERANCES",
    "GatedLoss",
    "GatedNetwork",
    "LossFunction",
    "Off",
    "Tile",
    "answer",
    "exactly",
    "finite",
    "weights_digest",
]
