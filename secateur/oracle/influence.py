"""How far a unit's removal can reach: a bound on the change of each output, by the sizes of weights and the steepest
slopes of what stands between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.fx import Node
from torch.fx.node import map_arg

from secateur.gated import GatedLoss, answer
from secateur.units import Graph, Reading
from secateur.units.graph import argument, operator_name, run, shape_for_one

STEEPEST: Mapping[str, float] = MappingProxyType(
    {
        **dict.fromkeys(
            ("relu", "relu6", "tanh", "softplus", "log_sigmoid", "hardtanh", "abs", "neg", "sin", "cos"), 1.0
        ),
        **dict.fromkeys(("dropout", "contiguous", "clone", "clamp", "clamp_min", "clamp_max"), 1.0),
        **{"sigmoid": 0.25, "hardsigmoid": 1 / 6, "hardswish": 1.5, "selu": 1.7582, "erf": 1.1284},
        **{"gelu": 1.13, "silu": 1.1, "mish": 1.09},  # rounded up from 1.1290, 1.0999 and 1.0885
    }
)
"""The largest slope of functions of one element."""

_POOLS = [f"{kind}_pool{n}d.default" for kind in ("max", "avg", "adaptive_avg") for n in (1, 2, 3)]
_VIEWS = ["reshape.default", "view.default", "permute.default", "transpose.int", "flatten.using_ints", "squeeze.dim"]
_PARTS = ["squeeze.dims", "unsqueeze.default", "movedim.int", "t.default", "slice.Tensor", "select.int"]
MOVES = frozenset([*_POOLS, *_VIEWS, *_PARTS, "expand.default", "mean.dim", "sum.dim_IntList"])
"""Operators that map bounds to bounds as they are: data movement, and means and maxima over positions."""


def influence(loss: GatedLoss) -> Float64[Tensor, "units outputs"]:
    """How far each output can move when unit u goes off, for each 1 that its largest value lies from its mean.

        |z_c(g - e_u) - z_c(g)| <= reach_u influence_uc,    for all gates g in [0, 1]

    reach_u is the largest |value - mean| of the unit at its readers, under g. By induction over the operators: a linear
    map passes a on as |W| a, an element's function as a times its steepest slope, a maximum as the maximum, a sum as
    the sum.

    Shape:
        (K, outputs), outputs flattened; inf where an operator that no row covers stands between.
    Units:
        outputs of the network for each unit of value.
    Source:
        docs/oracle.md; interval bound propagation, S. Gowal et al. 2018, is its kin.
    """
    network, count = loss.network, len(loss.units)
    graph = network.graph
    bound: dict[Node, Tensor] = {}
    lost = torch.zeros(count, dtype=torch.bool, device=loss.device)
    for node in network.gated:
        if not isinstance(node.meta.get("val"), Tensor):
            continue
        sources = [source for source in node.all_input_nodes if source in bound]
        if node in network.readings:
            a = _read(network.readings[node], node, bound, count)
            found = _contraction(graph, node, a)
            reached = a.flatten(1).amax(1) > 0
        elif sources:
            found = _through(graph, node, bound, count)
            reached = torch.stack([bound[source].flatten(1).amax(1) > 0 for source in sources]).any(0)
        else:
            continue
        shape = (count, *shape_for_one(node)[1:])
        if found is None or found.shape != shape:  # no row, or the rows are no longer the units
            lost |= reached
            found = reached.new_zeros(shape, dtype=torch.float64)
        bound[node] = found
    values = {item: item.meta["val"] for item in graph.output if isinstance(item, Node)}
    seen = answer(graph.result({**values}))
    output = next(item for item, value in values.items() if value is seen)
    reach = bound[output].flatten(1)
    return torch.where(lost[:, None], torch.inf, reach)


def _read(reading: Reading, node: Node, bound: Mapping[Node, Tensor], count: int) -> Tensor:
    """What the reader reads moves by what came before it, and at the unit's own columns by all of the unit."""
    source, owner = argument(node, 0), reading.owner
    units = torch.arange(count, device=owner.device)
    a = bound.get(source)
    if a is None:
        a = torch.zeros(count, *shape_for_one(source)[1:], dtype=torch.float64)
    view = [count] + [1] * (a.dim() - 1)
    view[reading.dim] = -1
    own = (owner == units[:, None]).view(view).to(a.device)
    return torch.where(own, 1.0, a)


def _contraction(graph: Graph, node: Node, a: Tensor) -> Tensor | None:
    weight = _fixed(graph, argument(node, 1))
    return None if weight is None else run(node, a.to(weight.device), weight.abs(), None, *node.args[3:], **node.kwargs)


def _through(graph: Graph, node: Node, bound: Mapping[Node, Tensor], count: int) -> Tensor | None:
    """The bound of one operator's result; None where no row covers it."""
    short = operator_name(node).removeprefix("aten.")
    name = short.removesuffix(".default")
    if name in _ARITHMETIC:
        return _ARITHMETIC[name](graph, node, bound)
    first = bound.get(argument(node, 0))
    if first is None or any(source in bound for source in node.all_input_nodes if source is not node.args[0]):
        return None
    if name in _LAYERS:
        return _LAYERS[name](graph, node, bound)
    if name in STEEPEST:
        return STEEPEST[name] * first
    if short in MOVES:
        args = map_arg(node.args, lambda source: bound[source] if source in bound else _size(source, count))
        return run(node, *args, **node.kwargs)
    return None


def _sum(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    scale = [1.0, abs(cast(float, node.kwargs.get("alpha", 1)))]
    terms = [bound[x] * by for x, by in zip(node.args, scale, strict=False) if isinstance(x, Node) and x in bound]
    total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    shape = shape_for_one(node)[1:]
    return total.expand(len(total), *shape) if total.dim() == len(shape) + 1 else None


def _product(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    a, b = node.args[:2]
    if not (isinstance(a, Node) and a in bound):
        a, b = b, a
    factor = _fixed(graph, b)
    return None if factor is None else bound[cast(Node, a)] * factor.abs()


def _quotient(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    a, b = node.args[:2]
    factor = _fixed(graph, b)
    if factor is None or not (isinstance(a, Node) and a in bound):
        return None
    return bound[a] / factor.abs()


def _layer(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    return _contraction(graph, node, bound[cast(Node, node.args[0])])


def _batch_norm(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    x, weight, _, _, variance = node.args[:5]
    steep = _fixed(graph, variance)
    if steep is None or x not in bound:
        return None
    scale = (steep + float(argument(node, 7, 1e-5))).rsqrt()
    if weight is not None:
        gain = _fixed(graph, weight)
        if gain is None:
            return None
        scale = scale * gain.abs()
    a = bound[cast(Node, x)]
    return a * scale.view(1, -1, *[1] * (a.dim() - 2))


def _leaky(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    return bound[cast(Node, node.args[0])] * max(1.0, abs(float(argument(node, 1, 0.01))))


def _elu(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    alpha, scale, inner = (abs(float(argument(node, at, 1.0))) for at in (1, 2, 3))
    return bound[cast(Node, node.args[0])] * scale * max(1.0, alpha * inner)


def _softmax(graph: Graph, node: Node, bound: Mapping[Node, Tensor]) -> Tensor | None:
    """|dp_c| <= p_c (1 - p_c) 2 max |dz| <= max |dz| / 2."""
    a = bound[cast(Node, node.args[0])]
    return a.amax(argument(node, 1), keepdim=True).expand(a.shape) / 2


_Row = Callable[[Graph, Node, Mapping[Node, Tensor]], Tensor | None]
_ARITHMETIC: Mapping[str, _Row] = MappingProxyType(
    {"add.Tensor": _sum, "sub.Tensor": _sum, "mul.Tensor": _product, "div.Tensor": _quotient}
)
_LAYERS: Mapping[str, _Row] = MappingProxyType(
    {
        **dict.fromkeys(("linear", "conv1d", "conv2d"), _layer),
        "batch_norm": _batch_norm,
        "leaky_relu": _leaky,
        "elu": _elu,
        "softmax.int": _softmax,
    }
)


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
