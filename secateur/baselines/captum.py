"""Captum's LayerFeatureAblation, asked for the same scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.baselines.passes import batches, call, fastest
from secateur.baselines.places import Place, places
from secateur.errors import OptionError
from secateur.gated import GatedLoss, Tile, exactly

TRIED = 4
"""Units that a trial of settings ablates."""


class CaptumAblation:
    """The change of E when Captum ablates each unit in the input of the layer that reads it.

        score_u = -(attribution of the features that are u's)

    For each reader one `attribute` a batch, with a mask that numbers the units. Batch size and perturbations_per_eval
    are those that were fastest on a few units. With one perturbation at a time the forward function gives the summed
    loss (Captum then keeps no attribution for each example); with several it must give one loss for each example.

    Captum ablates one layer at a time. A unit that several layers read is ablated in the first: that costs the same,
    but answers another question, so its score is NaN here.

    Shape: units (n,) positions -> (n,) float64.
    Units: change of the error, summed over examples.
    Raises: OptionError where captum is not installed, or the module's readers are no plain layers.
    Source: captum.attr.LayerFeatureAblation.
    """

    samples = True

    def __init__(self, loss: GatedLoss) -> None:
        try:
            import captum.attr  # noqa: F401
        except ImportError as missing:
            raise OptionError("the peer 'captum' needs Captum: pip install 'secateur[peers]'.") from missing
        self.loss, self.places = loss, places(loss)
        self.first: dict[int, Place] = {}
        self.several: set[int] = set()
        for place in self.places:
            for unit in set(place.owner[place.owner >= 0].tolist()):
                if unit in self.first:
                    self.several.add(unit)
                self.first.setdefault(unit, place)
        tried = torch.arange(len(loss.units))[:: max(1, len(loss.units) // TRIED)][:TRIED]
        choices = _choices(len(loss.examples))
        self.batch, self.at_once = fastest(
            choices, lambda choice: self._scores(tried, batches(loss, choice[0]), choice[1])
        )
        self.tiles = batches(loss, self.batch)

    @property
    def note(self) -> str:
        count, all_units = len(self.several), len(self.loss.units)
        return f"{count} of {all_units} units have several readers: timed, but not comparable" if count else ""

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"batch": self.batch, "perturbations_per_eval": self.at_once}

    def forwards(self, units: Tensor) -> int:
        """How many forwards of all examples these units take: for each layer two without ablation, and one for each
        unit, and for all that is not asked together."""
        return sum(2 + len(self._features(place, units).unique()) for place in self._asked(units))

    def __call__(self, units: Tensor) -> Float64[Tensor, " units"]:
        return self._scores(units, self.tiles, self.at_once)

    def _scores(self, units: Tensor, tiles: Sequence[Tile], at_once: int) -> Tensor:
        position = {unit: at for at, unit in enumerate(units.tolist())}
        scores = torch.zeros(len(units), dtype=torch.float64)
        with torch.inference_mode(), exactly():
            for place in self._asked(units):
                features = self._features(place, units)
                columns = {feature: at for at, feature in enumerate(features.tolist()) if feature >= 0}
                for tile in tiles:
                    found = self._attributions(place, features, tile, at_once)
                    for unit, column in columns.items():
                        scores[position[unit]] -= found[column]
        scores[[at for unit, at in position.items() if unit in self.several]] = torch.nan
        return scores

    def _attributions(self, place: Place, features: Tensor, tile: Tile, at_once: int) -> Tensor:
        """What Captum gives for each index of the dimension that holds units, summed over the examples of the tile."""
        from captum.attr import LayerFeatureAblation

        loss, summed = self.loss, at_once == 1

        def forward(*arguments: Tensor) -> Tensor:
            *inputs, target = arguments
            values = loss.losses(call(loss, inputs), Tile(0, len(target), tuple(inputs), target))
            return values.sum() if summed else values

        shape = [1] * place.dimensions
        shape[place.dim] = -1
        dense = torch.unique(features, return_inverse=True)[1]  # Captum numbers features from 0
        attribution = LayerFeatureAblation(forward, place.layer).attribute(
            tile.inputs,
            layer_mask=dense.view(shape),
            additional_forward_args=(tile.target,),
            attribute_to_layer_input=True,
            perturbations_per_eval=at_once,
        )
        (found,) = attribution if isinstance(attribution, tuple) else (attribution,)
        # Every element of a feature has the feature's whole change: look at the first position.
        return found.movedim(place.dim, 1).reshape(found.shape[0], len(features), -1)[:, :, 0].sum(0)

    def _asked(self, units: Tensor) -> list[Place]:
        wanted = units.tolist()
        return [place for place in self.places if any(self.first[unit] is place for unit in wanted)]

    def _features(self, place: Place, units: Tensor) -> Tensor:
        """For each column the unit that is asked for and read here first, or -1."""
        asked = [unit for unit in units.tolist() if self.first[unit] is place]
        return torch.where(torch.isin(place.owner, torch.tensor(asked)), place.owner, -1)


def _choices(examples: int) -> list[tuple[int, int]]:
    """(batch, perturbations_per_eval) to try."""
    alone = [(size, 1) for size in (256, 1024) if size < examples] + [(examples, 1)]
    return [*alone, (min(256, examples), 4), (min(64, examples), 8)]
