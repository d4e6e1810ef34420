"""How far the result of an operator can move when its operands move: by sizes of weights and steepest slopes.

Rows of the table take their `lipschitz` from here: (graph, node, bounds of its operands) -> the bound of its result,
element by element, or None where none is known. An operand without a bound does not move. Dimension 0 is that of
bounds, where values have their examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from secateur.units.graph import Graph, argument, run, shape_for_one

Bounds = Mapping[Node, Tensor]
Lipschitz = Callable[[Graph, Node, Bounds], Tensor | None]


@dataclass(frozen=True)
class Steep:
    """A function of one element that is nowhere steeper than `slope`."""

    slope: float

    def __call__(self, graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
        a = _alone(node, bounds)
        return None if a is None else self.slope * a


def leaky_relu(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    return Steep(max(1.0, abs(float(argument(node, 1, 0.01)))))(graph, node, bounds)


def elu(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    alpha, scale, inner = (abs(float(argument(node, at, 1.0))) for at in (1, 2, 3))
    return Steep(scale * max(1.0, alpha * inner))(graph, node, bounds)


def moved(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    """Data movement, and means, sums and maxima over positions: bounds go the way of values."""
    a = _alone(node, bounds)
    if a is None:
        return None
    args = map_arg(node.args, lambda source: bounds[source] if source in bounds else _size(source, len(a)))
    return run(node, *args, **node.kwargs)


def weighted(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    a = _alone(node, bounds)
    return None if a is None else contracted(graph, node, a)


def contracted(graph: Graph, node: Node, a: Tensor) -> Tensor | None:
    """|W| a, of a contraction by a plain parameter."""
    weight = _fixed(graph, argument(node, 1))
    return None if weight is None else run(node, a.to(weight.device), weight.abs(), None, *node.args[3:], **node.kwargs)


def added(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    scale = [1.0, abs(cast(float, node.kwargs.get("alpha", 1)))]
    terms = [bounds[x] * by for x, by in zip(node.args, scale, strict=False) if isinstance(x, Node) and x in bounds]
    total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    shape = shape_for_one(node)[1:]
    return total.expand(len(total), *shape) if total.dim() == len(shape) + 1 else None


def multiplied(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    """By a number or a plain parameter."""
    a, b = node.args[:2]
    if not (isinstance(a, Node) and a in bounds):
        a, b = b, a
    factor = _fixed(graph, b)
    return None if factor is None else bounds[cast(Node, a)] * factor.abs()


def divided(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    """By a number or a plain parameter."""
    a, b = node.args[:2]
    factor = _fixed(graph, b)
    if factor is None or not (isinstance(a, Node) and a in bounds):
        return None
    return bounds[a] / factor.abs()


def batch_norm(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    """In evaluation mode: a scale for each channel."""
    a, (weight, variance) = _alone(node, bounds), (node.args[1], node.args[4])
    gain = torch.tensor(1.0) if weight is None else _fixed(graph, weight)
    steep = _fixed(graph, variance)
    if a is None or gain is None or steep is None:
        return None
    scale = (steep + float(argument(node, 7, 1e-5))).rsqrt() * gain.abs()
    return a * scale.view(1, -1, *[1] * (a.dim() - 2))


def softmax(graph: Graph, node: Node, bounds: Bounds) -> Tensor | None:
    """|dp_c| <= p_c (1 - p_c) 2 max |dz| <= max |dz| / 2."""
    a = _alone(node, bounds)
    return None if a is None else a.amax(argument(node, 1), keepdim=True).expand(a.shape) / 2


def _alone(node: Node, bounds: Bounds) -> Tensor | None:
    """The bound of the first operand, where no other moves."""
    moving = [source for source in node.all_input_nodes if source in bounds]
    return bounds[moving[0]] if moving == [node.args[0]] else None


def _fixed(graph: Graph, item: Any) -> Tensor | None:
    """A parameter or a number, in float64; None for what is computed."""
    if isinstance(item, Node):
        return graph.weight(graph.names[item]).double() if item in graph.names else None
    return torch.tensor(float(item), dtype=torch.float64) if isinstance(item, int | float) else None


def _size(node: Node, count: int) -> int:
    """A size that the graph computes, with `count` rows."""
    value = node.meta["val"]
    if isinstance(value, int):
        return value
    expression = value.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, count)))
