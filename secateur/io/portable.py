"""Load the pruned network in this folder. It needs torch and safetensors, and unpickles nothing.

net = load()              # the captured graph as a module
net = load(MyNetwork())   # your own class, as it was before pruning: its tensors are replaced by the smaller ones
"""

import json
import keyword
import operator
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def load(model=None, folder=Path(__file__).parent):
    plan = json.loads((Path(folder) / "plan.json").read_text())
    tensors = load_file(Path(folder) / "model.safetensors")
    return build(plan["graph"], tensors, plan["learned"]) if model is None else shrink(model, plan, tensors)


def build(graph, tensors, learned):
    """The captured graph as a torch.fx module."""
    root, new = torch.nn.Module(), torch.fx.Graph()
    made = {name: new.placeholder(word(name)) for name in graph["inputs"]}
    for ref, name in graph["tensors"].items():
        if not re.fullmatch(r"[\w.\- ]+", name):
            raise ValueError(f"{name!r} can't be the name of a tensor")
        put(root, name, tensors[name], name in learned)
        made[ref] = new.get_attr(name)
    for name, target, args, kwargs in graph["nodes"]:
        keywords = {word(key): value for key, value in decode(kwargs, made).items()}
        made[name] = new.call_function(function(target), tuple(decode(item, made) for item in args), keywords)
    new.output(decode(graph["output"], made))
    return torch.fx.GraphModule(root, new).eval()


def word(name):
    """torch.fx writes names into the code that it runs, so that they must be names and nothing else."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} can't be the name of an argument")
    return name


def function(name):
    """An operator of aten, or Python's arithmetic on sizes: nothing else is ever called."""
    if name in ("add", "sub", "mul", "floordiv", "mod", "neg", "truediv", "getitem"):
        return getattr(operator, name)
    if re.fullmatch(r"aten\.\w+\.\w+", name):
        _, packet, overload = name.split(".")
        found = getattr(getattr(torch.ops.aten, packet), overload)
        if isinstance(found, torch._ops.OpOverload):
            return found
    raise ValueError(f"{name!r} is no operator of a network")


def decode(value, made) -> Any:
    if isinstance(value, list):
        return [decode(item, made) for item in value]
    if isinstance(value, dict):
        ((kind, name),) = value.items()
        if kind == "dict":
            return {key: decode(item, made) for key, item in name.items()}
        if kind == "tuple":
            return tuple(decode(item, made) for item in name)
        if kind == "node":
            return made[name]
        if kind in ("float", "device"):
            return float(name) if kind == "float" else torch.device(name)
        found = getattr(torch, name)
        if not isinstance(found, (torch.dtype, torch.layout, torch.memory_format)):
            raise ValueError(f"{name!r} is no type of torch's tensors")
        return found
    return value


def shrink(model, plan, tensors):
    """Your own class with the tensors of the pruned network."""
    for name, tensor in tensors.items():
        if name not in plan["constants"]:
            put(model, name, tensor, name in plan["learned"])
    for alias, name in plan["tied"].items():
        path, _, leaf = name.rpartition(".")
        put(model, alias, getattr(model.get_submodule(path), leaf), alias in plan["learned"])
    for path, attributes in plan["attributes"].items():
        for attribute, value in attributes.items():
            setattr(model.get_submodule(path), attribute, value)
    return model.eval()


def put(root, name, tensor, learned):
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, torch.nn.Module())
        root = root._modules[part]
    if learned:
        root.register_parameter(leaf, tensor if isinstance(tensor, torch.nn.Parameter) else torch.nn.Parameter(tensor))
    elif leaf in root._buffers:
        root._buffers[leaf] = tensor
    else:
        root.register_buffer(leaf, tensor)
