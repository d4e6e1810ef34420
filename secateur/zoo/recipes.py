"""Networks with their data and their training, by name; trained once and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from secateur import data
from secateur.errors import BundleError, UnknownNameError
from secateur.zoo.lenet import lenet5, lenet_300_100
from secateur.zoo.mlp import mlp
from secateur.zoo.resnet import resnet8
from secateur.zoo.train import TrainingRecord, train

VERSION = 2  # raise it when the code of a network, a data set or the training changes what comes out

NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"mlp": mlp, "lenet_300_100": lenet_300_100, "lenet5": lenet5, "resnet8": resnet8}
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A network, the data it is trained on, and how: names and options, nothing else.

    Units:
        `training` holds the options of `train`, `data_options` those of `secateur.data.load`.

    Source:
        PAPER's table of experiments, and the pruning literature.

    >>> RECIPES["mnist-acc99"].network_options["sizes"]
    (400, 100, 10)
    """

    network: str
    data: str
    network_options: dict[str, Any] = field(default_factory=dict)
    data_options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)


def _sigmoid(*sizes: int, output: str = "sigmoid") -> dict[str, Any]:
    return {"sizes": sizes, "activation": "sigmoid", "output": output}


def _twins(original: Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Each perceptron with another activation between its layers, and otherwise the same."""
    return {
        f"{name}-{activation}": replace(
            recipe,
            network_options=recipe.network_options | {"activation": activation},
            training=recipe.training | (_GENTLY if "optimizer" not in recipe.training else {}),
        )
        for name, recipe in original.items()
        for activation in ("relu", "softplus", "tanh", "gelu")
    }


# The names are those of the paper's figures, where it has them.
# Weight decay keeps sigmoid outputs from saturating on the wrong side, where squared errors have no gradient left.
_MNIST20 = {"loss": "sse", "learning_rate": 0.01, "weight_decay": 1e-5, "anneal": 0.2, "epochs": 50, "threads": 1}
_COSINE = {
    "loss": "sse",
    "optimizer": "lbfgs",
    "learning_rate": 1.0,
    "metric": "explained",
    "epochs": 150,
    "threads": 1,
}
# A tanh fitted to a cosine is a sigmoid, of twice the input, fitted to one from 0 to 1; its E is four times as large.
_SLOWLY = {
    "loss": "sse",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch_size": 10,
    "anneal": 0.7,
    "metric": "explained",
    "epochs": 200,
    "threads": 1,
}
_SHAPE = {"loss": "sse", "learning_rate": 0.01, "epochs": 300, "threads": 1}
_FULL_BATCH = {"loss": "sse", "optimizer": "lbfgs", "learning_rate": 1.0, "epochs": 10, "threads": 1}
_GENTLY = {"learning_rate": 0.003}  # at the sigmoids' 0.01 ReLUs die
_MODERN = {"loss": "cross_entropy", "batch_size": 128}

_PERCEPTRONS = {
    "cos-small": Recipe(
        "mlp", "cosine", _sigmoid(1, 10, 10, 1, output="none"), training=_COSINE | {"target": 0.9999993}
    ),
    "cos-big": Recipe("mlp", "cosine", _sigmoid(1, 50, 50, 1, output="none"), training=_COSINE | {"target": 0.9999996}),
    "mnist-acc99": Recipe("mlp", "mnist20", _sigmoid(400, 100, 10), {"flatten": True}, _MNIST20),
    "mnist-deep": Recipe("mlp", "mnist20", _sigmoid(400, 50, 50, 10), {"flatten": True}, _MNIST20),
    "diamond": Recipe("mlp", "diamond", _sigmoid(2, 50, 50, 2), training=_SHAPE | {"target": 0.992}),
    "rshape": Recipe("mlp", "random_shape", _sigmoid(2, 50, 50, 2), training=_SHAPE | {"target": 0.986}),
}
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        **_PERCEPTRONS,
        **_twins(_PERCEPTRONS),
        "cos-small-sgd": Recipe("mlp", "cosine", _sigmoid(1, 10, 10, 1, output="tanh"), training=_SLOWLY),
        "cos-big-sgd": Recipe("mlp", "cosine", _sigmoid(1, 50, 50, 1, output="tanh"), training=_SLOWLY),
        # Full-batch, as the paper's cosines must have been. Alone, L-BFGS leaves some digits unlearnt: Adam goes first.
        **{
            f"{name}-lbfgs": replace(
                _PERCEPTRONS[name],
                training=_MNIST20
                | {"epochs": 2, "anneal": 0.0, "then": _FULL_BATCH | {"epochs": 10, "target": target}},
            )
            for name, target in (("mnist-acc99", 0.998), ("mnist-deep", 1.0))
        },
        "diamond-lbfgs": replace(_PERCEPTRONS["diamond"], training=_FULL_BATCH | {"target": 0.992}),
        "rshape-lbfgs": replace(_PERCEPTRONS["rshape"], training=_FULL_BATCH | {"target": 0.986}),
        "mnist-acc99-dropout": Recipe(
            "mlp", "mnist20", _sigmoid(400, 100, 10) | {"dropout": 0.5}, {"flatten": True}, _MNIST20
        ),
        "mnist-acc99-weight-decay": Recipe(
            "mlp", "mnist20", _sigmoid(400, 100, 10), {"flatten": True}, _MNIST20 | {"weight_decay": 3e-4}
        ),
        "lenet-300-100": Recipe("lenet_300_100", "mnist", {}, {"flatten": True}, _MODERN | {"epochs": 10}),
        "lenet-5": Recipe("lenet5", "mnist", {}, {}, _MODERN | {"epochs": 6}),
        "resnet-8": Recipe("resnet8", "mnist", {}, {}, _MODERN | {"epochs": 4}),
        # One digit against the rest, raw pixels, poorly trained on purpose: one epoch, at a rate that ends about where
        # the paper's networks start (.9757, .9881, .9513). Raw pixels saturate the hidden units, so what is learnt is
        # the readout. Begun with torch's small weights, no unit of it is harmful, and all criteria agree. Begun wider
        # and left early, many units still vote as they did by chance, and the oracle gains by removing them, as in the
        # paper. Begun wider still, softmax saturates, and some networks never leave "the rest, always", where squared
        # errors have no gradient.
        **{
            f"mnist-test-single-digit-{digit}": Recipe(
                "mlp",
                "mnist",
                _sigmoid(784, 100, 2, output="softmax") | {"readout": readout},
                {"flatten": True, "scale": False, "digit": digit},
                {"loss": "sse", "optimizer": "sgd", "learning_rate": rate, "batch_size": 100, "epochs": 1},
            )
            for digit, readout, rate in ((0, 0.2, 2e-4), (1, 0.3, 1e-4), (2, 0.3, 1e-4))
        },
    }
)


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained network and how its training went.

    Source:
        made by `trained`.

    >>> Trained(nn.Identity(), TrainingRecord("accuracy", (0.1,), (1.0,), True)).record.epochs
    1
    """

    model: nn.Module
    record: TrainingRecord


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UnknownNameError: no recipe of that name.

    Source:
        RECIPES.

    >>> recipe("cos-small").data
    'cosine'
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, RECIPES)
    return RECIPES[name]


def untrained(name: str, seed: int = 0) -> nn.Module:
    """The network of a recipe as its training starts from it, in evaluation mode.

    Raises:
        UnknownNameError: no recipe of that name.

    Source:
        torch's own initialisation, seeded.

    >>> untrained("cos-small").fc2
    Linear(in_features=10, out_features=10, bias=True)
    """
    chosen = recipe(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[chosen.network](**chosen.network_options).eval()


def trained(
    name: str,
    *,
    seed: int = 0,
    cache: str | os.PathLike[str] | bool = True,
    progress: bool = True,
    training: Mapping[str, Any] | None = None,
) -> Trained:
    """The network of a recipe, trained from `seed`; read from the cache if it has been trained before.

    `cache` is a folder; True for "zoo" in the user's cache (`secateur.data.cache_folder`); False to train anew and keep
    nothing. `training` replaces options of the recipe's training. A cached network counts only for the same recipe,
    seed, version of torch and number of threads, so that what comes out does not depend on whether it was cached.

    Units:
        the record is that of the training, also when it comes from the cache.

    Raises:
        UnknownNameError: no recipe of that name.
        DataError: the data cannot be had.
        BundleError: a file in the cache that is damaged.

    Source:
        RECIPES.

    >>> trained("cos-huge")
    Traceback (most recent call last):
    secateur.errors.UnknownNameError: no recipe is called 'cos-huge'. Did you mean 'cos-big'? Known: ...
    """
    chosen = recipe(name)
    chosen = replace(chosen, training=chosen.training | dict(training or {}))
    key = _key(chosen, seed)
    folder = data.cache_folder() / "zoo" if cache is True else Path(os.fspath(cache)) if cache is not False else None
    path = folder / f"{name}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors" if folder else None
    model = untrained(name, seed)
    if path is not None and path.exists():
        return Trained(model, _read(path, model, key))
    splits = data.load(chosen.data, **chosen.data_options)
    record = train(model, splits.fit, seed=seed, progress=progress, **chosen.training)
    if path is not None:
        _write(path, model, key, record)
    return Trained(model, record)


def demo_network(seed: int = 0) -> nn.Module:
    """The network of the demo: the paper's 400-100-10 with sigmoids, trained on mnist20 to about 0.997, cached.

    E = 1/2 sum over examples and outputs of (o - t)^2 is what its training minimised.

    Shape:
        (N, 400) -> (N, 10), from 0 to 1 each.

    Raises:
        BundleError: a file in the cache that is damaged.

    Source:
        The paper (arXiv 1701.04465), figures mnist-acc99-*.

    >>> demo_network().fc1
    Linear(in_features=400, out_features=100, bias=True)
    """
    return trained("mnist-acc99", seed=seed).model


def _key(chosen: Recipe, seed: int) -> str:
    threads = chosen.training.get("threads") or torch.get_num_threads()
    everything = {
        "version": VERSION,
        "recipe": asdict(chosen),
        "seed": seed,
        "torch": torch.__version__,
        "threads": threads,
    }
    return json.dumps(everything, sort_keys=True)


def _write(path: Path, model: nn.Module, key: str, record: TrainingRecord) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}.part")
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, aside, metadata={"key": key, "record": json.dumps(asdict(record))})
    aside.replace(path)


def _read(path: Path, model: nn.Module, key: str) -> TrainingRecord:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                raise BundleError(f"{path} holds the weights of another configuration than its name says: delete it")
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        kept = json.loads(metadata["record"])
        return TrainingRecord(kept["metric"], tuple(kept["losses"]), tuple(kept["values"]), kept["reached"])
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} is damaged ({error}): delete it, and it is trained anew") from error
