"""The networks that the claims are tested on, trained from their seeds, and the examples that judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from secateur import data, zoo
from secateur.data import Split, Splits
from secateur.gated import GatedLoss, Off
from secateur.zoo import RECIPES
from secateur.zoo.recipes import NETWORKS


@dataclass(frozen=True, slots=True)
class Effort:
    """The limits of the quick setting; None for the full one.

    >>> Effort().most(5000)
    5000
    """

    examples: int | None = None
    epochs: int | None = None

    def most(self, count: int) -> int:
        return count if self.examples is None else min(count, self.examples)

    def training(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a training, cut short where they must be."""
        if self.epochs is None:
            return dict(options)
        return dict(options) | {"epochs": min(self.epochs, options.get("epochs", 20))}


def examples(name: str, **options: Any) -> Splits:
    """The data of a recipe; `options` replace its own."""
    recipe = RECIPES[name]
    return data.load(recipe.data, **(recipe.data_options | options))


def network(name: str, seed: int, effort: Effort) -> nn.Module:
    """The network of a recipe, as its training leaves it; kept by the zoo."""
    return zoo.trained(name, seed=seed, progress=False, training=effort.training(RECIPES[name].training)).model


def variant(
    name: str,
    seed: int,
    effort: Effort,
    *,
    fit: Split | None = None,
    options: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    frozen: bool = False,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
) -> nn.Module:
    """A recipe's network trained otherwise: on other examples, with other sizes or options, or with all layers but the
    last left as they were drawn (`frozen`: random features)."""
    recipe = RECIPES[name]
    recipe = replace(recipe, network_options=recipe.network_options | dict(options or {}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = NETWORKS[recipe.network](**recipe.network_options)
    if frozen:
        *features, _ = [child for child in model.children() if isinstance(child, nn.Linear)]
        for layer in features:
            layer.requires_grad_(False)
    wanted = effort.training(recipe.training | dict(training or {}))
    fit = examples(name).fit if fit is None else fit
    zoo.train(model, fit, seed=seed, progress=False, after_epoch=after_epoch, **wanted)
    return model.requires_grad_(True).eval()


def first(split: Split, count: int) -> Split:
    """The first examples, which are balanced over the classes; evenly spaced ones of a curve, which lie in order."""
    if not split.y.is_floating_point():
        return Split(split.x[:count], split.y[:count])
    some = slice(0, None, max(1, len(split) // count))
    return Split(split.x[some], split.y[some])


def held_out(splits: Splits) -> Split:
    """What neither trained nor ranked: nothing here stops by the `stop` split, so it reports too."""
    return Split(torch.cat((splits.stop.x, splits.report.x)), torch.cat((splits.stop.y, splits.report.y)))


def squared(model: nn.Module, split: Split, off: Off = "zero") -> GatedLoss:
    """The paper's E on these examples."""
    return GatedLoss(model, split.pair, "sse", off=off)
