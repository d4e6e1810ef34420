"""What is measured: a network with data and weights, by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from secateur import data, zoo
from secateur.data import Split
from secateur.errors import DataError, OptionError
from secateur.gated import GatedLoss
from secateur.zoo.recipes import RECIPES, recipe

DEFAULTS: Mapping[str, int] = MappingProxyType({"lenet-300-100": 10_000, "lenet-5": 2_000, "resnet-8": 1_000})
"""Examples of the networks that targets are stated for; others get EXAMPLES."""
EXAMPLES = 5_000
PERCEPTRON = re.compile(r"mlp:(\d+(?:-\d+)+)$")
TRAINING: Mapping[str, Any] = MappingProxyType({"loss": "cross_entropy", "batch_size": 128, "epochs": 3})
"""How a perceptron that is named by its shape is trained."""

Weights = Literal["trained", "untrained"]


@dataclass(frozen=True)
class Subject:
    """A network with its loss, and where data and weights come from."""

    name: str
    loss: GatedLoss
    data: str
    weights: str

    def record(self) -> dict[str, Any]:
        """What has to be said beside every number."""
        return {
            "network": self.name,
            "units": len(self.loss.units),
            "examples": len(self.loss.examples),
            "loss": str(self.loss.loss),
            "data": self.data,
            "weights": self.weights,
        }


def make_subject(
    name: str,
    examples: int | None = None,
    *,
    weights: Weights = "trained",
    seed: int = 0,
    double: bool = False,
    max_memory: int | None = None,
) -> Subject:
    """A recipe of the zoo, or a perceptron named by its shape (ReLU, cross-entropy), on the first examples of its data.

    Digits are MNIST where it can be had, else the shipped 20x20 ones, padded to 28x28; what fits no digits is random.
    Trained weights are kept in the cache. Where more examples are asked for than there are, they come again.

    Units: `max_memory` in bytes, of the loss.
    Raises: OptionError for another form of name; UnknownNameError for no recipe.

    >>> make_subject("mlp:4-6-5-3", 20).record()["data"]
    'random'
    """
    if examples is not None and examples < 1:
        raise OptionError(f"got {examples} examples; expected 1 or more.")
    wanted = examples or DEFAULTS.get(name, EXAMPLES)
    shape = PERCEPTRON.match(name)
    if shape:
        sizes = tuple(map(int, shape.group(1).split("-")))
        split, source = _perceptron_data(sizes, wanted, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = zoo.mlp(sizes, "relu").eval()
        training = dict(TRAINING)
    elif ":" in name:
        raise OptionError(f"the network is {name!r}; expected a recipe ({', '.join(RECIPES)}) or mlp:784-300-100-10.")
    else:
        chosen = recipe(name)
        split, source = _recipe_data(chosen.data, chosen.data_options)
        model, training = zoo.untrained(name, seed), dict(chosen.training)
    if weights == "trained" and source != "random":
        model = _trained(name, model, split, source, training, seed)
        how = f"trained, seed {seed}"
    else:
        how = f"untrained, seed {seed}" + (", since the data is random" if weights == "trained" else "")
    x, y, again = _first(split, wanted)
    if double:
        model, x = model.double(), x.double()
        y = y.double() if y.is_floating_point() else y
    budget: dict[str, Any] = {} if max_memory is None else {"max_memory": max_memory}
    loss = GatedLoss(model, (x, y), training["loss"], **budget)
    return Subject(name, loss, source + again, how)


def _perceptron_data(sizes: tuple[int, ...], wanted: int, seed: int) -> tuple[Split, str]:
    named = {784: ("mnist", {"flatten": True}), 400: ("mnist20", {"flatten": True}), 64: ("digits", {})}
    if sizes[0] in named and sizes[-1] >= 10:
        return _recipe_data(*named[sizes[0]])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Split(torch.rand(wanted, sizes[0]), torch.randint(sizes[-1], (wanted,))), "random"


def _recipe_data(name: str, options: Mapping[str, Any]) -> tuple[Split, str]:
    """All that the data set has for ranking, and its name."""
    try:
        return data.load(name, **options).fit, name
    except DataError:
        if name != "mnist":
            raise
    shipped = data.load("mnist20").fit
    x = functional.pad(shipped.x, (4, 4, 4, 4))  # as MNIST's own digits are framed
    x = x if options.get("scale", True) else x * 255
    y = shipped.y if options.get("digit") is None else (shipped.y == options["digit"]).long()
    return Split(x.flatten(1) if options.get("flatten") else x, y), "mnist20, padded to 28x28"


def _first(split: Split, wanted: int) -> tuple[Tensor, Tensor, str]:
    count = len(split)
    if wanted <= count:
        return split.x[:wanted], split.y[:wanted], ""
    places = torch.arange(wanted) % count
    return split.x[places], split.y[places], f", its {count:,} examples repeated"


def _trained(
    name: str, model: nn.Module, split: Split, source: str, training: Mapping[str, Any], seed: int
) -> nn.Module:
    """The trained network: a recipe's own where its data is at hand, else trained here, and kept in the cache."""
    if name in RECIPES and source == recipe(name).data:
        return zoo.trained(name, seed=seed).model
    key = json.dumps([name, source, len(split), dict(training), seed, torch.__version__], sort_keys=True)
    path = data.cache_folder() / "bench" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval()
    zoo.train(model, split, seed=seed, **training)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, aside)
    aside.replace(path)
    return model.eval()
