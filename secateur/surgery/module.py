"""The cut of the user's own module: sliced parameters, mended attributes, the same class and code."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from secateur.errors import UnitError
from secateur.gated import GatedNetwork
from secateur.surgery.plan import Plan
from secateur.units.graph import argument
from secateur.units.rules import LAYER_ATTRIBUTES


def cut_module(network: GatedNetwork, plan: Plan) -> nn.Module:
    """A copy of the user's module without the units: dtype, device, requires_grad, flags and tied weights as they were.

    Raises: UnitError where a reader has no place for the constant that off="mean" adds.
    """
    names = network.graph.names
    original = network.graph.model
    model = copy.deepcopy(original)
    rows = {path: len(weight) for path, module in model.named_modules() if (weight := _weight(module)) is not None}
    new: dict[int, Tensor] = {}
    for name in plan.keep:
        old = _get(model, name)
        if old is not None:
            new[id(old)] = _like(old, plan.slice(name, old.detach()))
    for node, gain in plan.bias.items():
        name = names[argument(node, 1)]
        path, _, _ = name.rpartition(".")
        weight, layer = _get(model, name), model.get_submodule(path)
        assert weight is not None
        if "bias" not in layer._parameters:
            raise UnitError(f"{path or type(model).__name__} has no bias to take the mean of the units that go")
        old = layer._parameters["bias"]
        if old is None:
            layer.bias = nn.Parameter(gain.clone(), requires_grad=weight.requires_grad)
        else:
            new[id(old)] = _like(old, new.get(id(old), old).detach() + gain)
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for key, old in list(tensors.items()):
                if old is not None and id(old) in new:
                    setattr(module, key, new[id(old)])  # every alias of a tied weight gets the same new tensor
    for path, module in model.named_modules():
        for kinds, attributes in LAYER_ATTRIBUTES.items():
            if isinstance(module, kinds):
                for attribute, value in attributes.items():
                    if _weight(module) is not None:
                        setattr(module, attribute, value(module, rows[path]))
    return model


def _weight(module: nn.Module) -> Tensor | None:
    """The tensor that tells a layer's size."""
    for name in ("weight", "running_mean"):
        tensor = module._parameters.get(name)
        tensor = module._buffers.get(name) if tensor is None else tensor
        if tensor is not None and tensor.dim() > 0:
            return tensor
    return None


def _get(model: nn.Module, name: str) -> Tensor | None:
    path, _, leaf = name.rpartition(".")
    try:
        return getattr(model.get_submodule(path), leaf)
    except AttributeError:  # a constant that the code makes: no attribute of the module holds it
        return None


def _like(old: Tensor, value: Tensor) -> Tensor:
    return nn.Parameter(value, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else value
