"""A captured graph as JSON: operator names, arguments, and the tensors they take. The inverse is `portable.build`."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from secateur.errors import BundleError
from secateur.units.graph import operator_name
from secateur.units.rules import RULES


def encode_graph(module: fx.GraphModule) -> dict[str, Any]:
    """The JSON of a cut graph.

    Raises: BundleError for an operator that has no row in the table of rules: such a graph would not be loaded again.
    """
    tensors, inputs, nodes, output = {}, [], [], None
    for node in module.graph.nodes:
        if node.op == "placeholder":
            inputs.append(_called(node))
        elif node.op == "get_attr":
            tensors[node.name] = str(node.target)
        elif node.op == "output":
            output = _encode(node.args[0])
        else:
            name = operator_name(node)
            check_operator(name)
            nodes.append([node.name, name, _encode(list(node.args)), _encode(dict(node.kwargs))])
    return {"inputs": inputs, "tensors": tensors, "nodes": nodes, "output": output}


def check_operator(name: str) -> None:
    """Only operators of the table are written, and only those are run again. Raises: BundleError."""
    if name not in RULES:
        raise BundleError(
            f"operator {name} is not one of the {len(RULES)} that secateur writes into a bundle and loads again"
        )


def _called(node: Node) -> str:
    """Inputs by the name of the argument, which may be another than torch.fx gives the node ("input")."""
    return str(node.target) if node.op == "placeholder" else node.name


def _encode(value: Any) -> Any:
    if isinstance(value, Node):
        return {"node": _called(value)}
    if isinstance(value, (list, tuple)):
        items = [_encode(item) for item in value]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {"dict": {str(key): _encode(item) for key, item in value.items()}}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        return {"torch": str(value).removeprefix("torch.")}
    raise BundleError(f"an argument of type {type(value).__name__} can't be written into a bundle")
