"""THE table: what secateur knows of operators and layers. Supporting a new operator is a row here, and nothing else.

A row tells how labels flow through an operator (`flow`), how the operator's own numbers follow a cut (`resize`), and
three facts that engines read: whether it is a contraction over units (they end here and are gated here), whether it
acts on each element alone, and how far its result can move. An operator without a row refuses the units that reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from secateur.units import lipschitz
from secateur.units.flow import Flow
from secateur.units.graph import argument, operator_name, run, shape_for_one, size_for_one
from secateur.units.labels import CONSTANT, FIXED, varying
from secateur.units.lipschitz import Lipschitz, Steep, moved, weighted

FlowRule = Callable[..., Any]
"""(flow, node, *labels and plain arguments, **the same) -> labels of the result"""

Kept = Sequence[Tensor]
"""For each dimension of a tensor, the indices that a cut keeps."""

Resize = Callable[[Node, Callable[[Any], Any]], tuple[Any, ...] | None]
"""(node, kept) -> the operator's arguments in the cut network, or None where nothing changes; kept(node) tells what is
left of a value (Kept), of a list of values (list of Kept)."""


@dataclass(frozen=True)
class Contraction:
    """The operator multiplies dimension `dim` of its input (argument 0) by a weight (argument 1: out, in, ...) and adds
    a bias (argument 2). `padding` is the argument that pads the input with zeros, if there is one."""

    dim: int
    padding: int | None = None
    groups: int | None = None

    def number_of_groups(self, node: Node) -> int:
        return 1 if self.groups is None else int(argument(node, self.groups, 1))

    def pads(self, node: Node) -> bool:
        """Whether zeros that belong to no channel enter the contraction: then a constant can't move into the bias."""
        if self.padding is None:
            return False
        padding = argument(node, self.padding, 0)
        if isinstance(padding, str):
            return padding != "valid"
        return any(padding) if isinstance(padding, (list, tuple)) else bool(padding)


@dataclass(frozen=True)
class Rule:
    flow: FlowRule
    resize: Resize | None = None
    resized: str | None = None  # the operator that takes the resized arguments, where it is another one
    contraction: Contraction | None = None
    pointwise: bool = False
    lipschitz: Lipschitz | None = None  # how far its result can move when its operands do; None where no bound is known


# ------------------------------------------------------------------------------------------------ how labels flow


def linear(flow: Flow, node: Node, x: Tensor, *_: Any, **__: Any) -> Tensor:
    return flow.contract(node, x, dim=-1, out_dim=x.dim() - 1)


def convolution(flow: Flow, node: Node, x: Tensor, *_: Any, **__: Any) -> Tensor:
    rule = RULES[operator_name(node)].contraction
    assert rule is not None
    return flow.contract(node, x, dim=1, out_dim=1, groups=rule.number_of_groups(node))


def pointwise(flow: Flow, node: Node, *args: Any, **_: Any) -> Tensor:
    """Every element alone; several operands are joined position by position."""
    return flow.merge(node, [*args, *(flow.of(value) for value in node.kwargs.values())])


def batch_norm(flow: Flow, node: Node, x: Tensor, *parameters: Any) -> Tensor:
    """In evaluation mode: a scale and a shift for each channel."""
    channel = flow.channels(node, x, 1)
    for labels in parameters[:4]:
        if isinstance(labels, Tensor):
            flow.join(node, labels, channel)
    return channel.view(1, -1, *[1] * (x.dim() - 2)).expand(x.shape)


def prelu(flow: Flow, node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """One slope for each channel, or one for all."""
    if slope.numel() == 1:
        return x
    channel = flow.join(node, flow.channels(node, x, 1), slope)
    return channel.view(1, -1, *[1] * (x.dim() - 2)).expand(x.shape)


def move(flow: Flow, node: Node, *args: Any, **kwargs: Any) -> Any:
    """Data movement: the operator itself, on the labels."""
    return run(node, *args, **kwargs)


def channel_shuffle(flow: Flow, node: Node, x: Tensor, groups: int) -> Tensor:
    """Groups stay of one size, so that the first channels of all groups go together, the second ones ..."""
    flow.labels.join_along(flow.channels(node, x, 1).reshape(groups, -1), 0)
    return move(flow, node, x, groups)


def pixel_shuffle(flow: Flow, node: Node, x: Tensor, factor: int) -> Tensor:
    """The channels that become one finer channel go together: their pixels stand side by side in it."""
    flow.labels.join_along(flow.channels(node, x, 1).reshape(-1, factor * factor), 1)
    return move(flow, node, x, factor)


def pick(flow: Flow, node: Node, values: Any, index: Any) -> Any:
    return values[index]


def size(flow: Flow, node: Node, x: Tensor, dim: int) -> int:
    """A size that the code asked for. Where a cut changes it, the cut network asks again."""
    return x.shape[dim]


def arithmetic(flow: Flow, node: Node, *args: Any) -> Any:
    return run(node, *args)


def per_channel(spatial: int) -> FlowRule:
    """Pooling and the like: whatever it does to the last `spatial` dimensions, each channel stays itself."""

    def rule(flow: Flow, node: Node, x: Tensor, *_: Any, **__: Any) -> Any:
        dims = range(x.dim() - spatial, x.dim())
        if any(dim in varying(x) for dim in dims):
            flow.labels.refuse(x, node, "mixes units over the dimensions that it pools")
            return full(flow, node, FIXED)
        lead = x[(...,) + (slice(0, 1),) * spatial]
        value = node.meta["val"]
        if isinstance(value, Tensor):
            return lead.expand(shape_for_one(value))
        return [lead.expand(shape_for_one(item)) for item in value]  # values and indices

    return rule


def pad(flow: Flow, node: Node, x: Tensor, pads: Sequence[int], mode: Any = "constant", *_: Any) -> Tensor:
    """Padding inside a channel goes with the channel; padding by further channels adds channels of a fixed size."""
    copies = isinstance(mode, str) and mode != "constant"  # constant_pad_nd has a number there
    for position in range(0, len(pads), 2):
        dim, before, after = x.dim() - 1 - position // 2, pads[position], pads[position + 1]
        if before == after == 0:
            continue
        length = x.shape[dim] + before + after
        if dim in varying(x):
            if copies:
                flow.labels.refuse(x, node, "is padded with copies of other units")
            start, stop = max(-before, 0), x.shape[dim] - max(-after, 0)
            flow.labels.refuse(x.narrow(dim, 0, start), node, "is cropped away here")
            flow.labels.refuse(x.narrow(dim, stop, x.shape[dim] - stop), node, "is cropped away here")
            shape = list(x.shape)

            def fixed(count: int, dim: int = dim, shape: list[int] = shape) -> Tensor:
                return torch.full((*shape[:dim], max(count, 0), *shape[dim + 1 :]), FIXED)

            x = torch.cat((fixed(before), x.narrow(dim, start, stop - start), fixed(after)), dim)
        else:
            x = x.narrow(dim, 0, 1).expand(*x.shape[:dim], length, *x.shape[dim + 1 :])
    return x


def reduce(flow: Flow, node: Node, x: Tensor, dims: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    """Sums and means over dimensions in which a unit merely repeats itself (positions); over units they are refused."""
    dims = list(range(x.dim())) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    if any(dim % x.dim() in varying(x) for dim in dims):
        flow.labels.refuse(x, node, "is summed over together with other units")
        return full(flow, node, FIXED)
    return x.amax(dims, keepdim=bool(keepdim))


def normalise(dims_of: Callable[[Tensor, Any], Sequence[int]]) -> FlowRule:
    """Softmax, LayerNorm: exact only where the normalised dimensions hold no units, for removing is not zeroing
    there."""

    def rule(flow: Flow, node: Node, x: Tensor, *args: Any, **_: Any) -> Tensor:
        dims = [dim % x.dim() for dim in dims_of(x, args[0])]
        if any(dim in varying(x) for dim in dims):
            flow.labels.refuse(
                x, node, "is normalised over together with other units, so removing it is not zeroing it"
            )
            return full(flow, node, FIXED)
        return flow.merge(node, [x, *args])

    return rule


def group_norm(flow: Flow, node: Node, x: Tensor, *_: Any) -> Tensor:
    flow.labels.refuse(x, node, "is normalised over together with other units, so removing it is not zeroing it")
    return full(flow, node, FIXED)


def create(flow: Flow, node: Node, *_: Any, **__: Any) -> Tensor:
    """A tensor of a size that the code fixes."""
    shape = shape_for_one(node)
    return torch.tensor(CONSTANT if all(n == 1 for n in shape) else FIXED).expand(shape)


def unknown(flow: Flow, node: Node, *args: Any, **kwargs: Any) -> Any:
    """No row: the units that reach the operator are refused, and what it gives is of a fixed size."""
    for source in node.all_input_nodes:
        for labels in tensors(flow.of(source)):
            flow.labels.refuse(labels, node, "reaches an operator that no rule covers")
    return full(flow, node, FIXED)


def full(flow: Flow, node: Node, label: int) -> Any:
    value = node.meta.get("val")
    if isinstance(value, Tensor):
        return flow.full(node, label)
    if isinstance(value, (list, tuple)):
        return [torch.tensor(label).expand(shape_for_one(item)) for item in value]
    return size_for_one(value) if isinstance(value, torch.SymInt) else value


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [item for part in value for item in tensors(part)] if isinstance(value, (list, tuple)) else []


# --------------------------------------------------------------------------------- how numbers follow a cut


def sizes(position: int) -> Resize:
    """Argument `position` lists the sizes of the result: literal numbers become what is left of each dimension."""

    def resize(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        left, given = lengths(kept(node)), node.args[position]
        assert isinstance(given, (list, tuple))
        whole = shape_for_one(node)
        offset = len(left) - len(given)
        new = [left[at + offset] if n == whole[at + offset] and isinstance(n, int) else n for at, n in enumerate(given)]
        return (*node.args[:position], new, *node.args[position + 1 :])

    return resize


def unflatten_sizes(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    x, dim, given = node.args
    left = lengths(kept(node))
    assert isinstance(dim, int)
    assert isinstance(given, (list, tuple))
    start = dim % (len(left) - len(given) + 1)
    return x, dim, left[start : start + len(given)]


def split_sizes(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """Every way of splitting becomes a split by the sizes that are left."""
    dim = argument(node, 2, 0)
    if not shrinks(node.args[0], dim, kept):
        return None
    return node.args[0], [len(piece[dim]) for piece in kept(node)], dim


def slice_bounds(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """A slice of a dimension starts and stops at as many of the indices that are left."""
    x, dim, start, stop, step = (argument(node, at, default) for at, default in enumerate((None, 0, None, None, 1)))
    if not shrinks(x, dim, kept):
        return None
    left, whole = kept(x)[dim], shape_for_one(x)[dim]
    start, stop, _ = slice(start, stop).indices(whole)
    return x, dim, int((left < start).sum()), int((left < stop).sum()), step


def select_index(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    x, dim, index = node.args
    assert isinstance(dim, int)
    assert isinstance(index, int)
    if not shrinks(x, dim, kept):
        return None
    return x, dim, int((kept(x)[dim] < index % shape_for_one(x)[dim]).sum())


def groups_left(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """A grouped convolution keeps the groups whose channels are left."""
    contraction = RULES[operator_name(node)].contraction
    assert contraction is not None
    assert contraction.groups is not None
    groups = contraction.number_of_groups(node)
    if groups == 1 or not shrinks(node.args[0], 1, kept):
        return None
    left = len(kept(node.args[0])[1]) * groups // shape_for_one(node.args[0])[1]
    return (*node.args[: contraction.groups], left, *node.args[contraction.groups + 1 :])


def shrinks(node: Any, dim: int, kept: Callable[[Any], Any]) -> bool:
    return len(kept(node)[dim]) < shape_for_one(node)[dim]


def lengths(kept: Kept) -> list[int]:
    return [len(indices) for indices in kept]


# ------------------------------------------------------------------------------------------------------ the table

_POINTWISE = """
add.Scalar addcmul bitwise_not celu clamp.Tensor div.Scalar div.Tensor_mode eq.Scalar eq.Tensor exp expm1 fill.Scalar
ge.Scalar ge.Tensor gt.Scalar gt.Tensor le.Scalar le.Tensor log log1p logical_and logical_not lt.Scalar lt.Tensor
masked_fill.Scalar maximum minimum mul.Scalar ne.Scalar ne.Tensor ones_like pow.Scalar pow.Tensor_Scalar
pow.Tensor_Tensor reciprocal rsqrt rsub.Scalar rsub.Tensor sign sqrt square sub.Scalar threshold to.dtype type_as
where.ScalarOther where.ScalarSelf where.self zeros_like _to_copy
"""
_STEEPEST = {
    1.0: """
        abs clamp clamp_max clamp_min clone contiguous cos dropout hardtanh log_sigmoid neg relu relu6 sin softplus tanh
    """,
    **{0.25: "sigmoid", 1 / 6: "hardsigmoid", 1.5: "hardswish", 1.7582: "selu", 1.1284: "erf"},
    **{1.13: "gelu", 1.1: "silu", 1.09: "mish"},  # rounded up from 1.1290, 1.0999 and 1.0885
}
"""Functions of one element, by their largest slope."""
_MOVES = "flatten.using_ints movedim.int permute squeeze.dim squeeze.dims t transpose.int unsqueeze"
_OTHER_MOVES = """
cat expand_as flip movedim.intlist pixel_unshuffle repeat repeat_interleave.self_int reshape_as roll stack swapaxes
tile unbind.int view_as
"""


def _name(short: str) -> str:
    return f"aten.{short}" if "." in short else f"aten.{short}.default"


RULES: dict[str, Rule] = {
    # contractions: units end here
    "aten.linear.default": Rule(linear, contraction=Contraction(dim=-1), lipschitz=weighted),
    **{
        f"aten.conv{n}d.{overload}": Rule(
            convolution,
            resize=groups_left,
            contraction=Contraction(dim=1, padding=4, groups=6),
            lipschitz=weighted,
        )
        for n in (1, 2, 3)
        for overload in ("default", "padding")
    },
    # every element alone
    **{_name(short): Rule(pointwise, pointwise=True) for short in _POINTWISE.split()},
    **{
        _name(short): Rule(pointwise, pointwise=True, lipschitz=Steep(slope))
        for slope, functions in _STEEPEST.items()
        for short in functions.split()
    },
    "aten.leaky_relu.default": Rule(pointwise, pointwise=True, lipschitz=lipschitz.leaky_relu),
    "aten.elu.default": Rule(pointwise, pointwise=True, lipschitz=lipschitz.elu),
    "aten.add.Tensor": Rule(pointwise, pointwise=True, lipschitz=lipschitz.added),
    "aten.sub.Tensor": Rule(pointwise, pointwise=True, lipschitz=lipschitz.added),
    "aten.mul.Tensor": Rule(pointwise, pointwise=True, lipschitz=lipschitz.multiplied),
    "aten.div.Tensor": Rule(pointwise, pointwise=True, lipschitz=lipschitz.divided),
    # every channel alone
    "aten.batch_norm.default": Rule(batch_norm, lipschitz=lipschitz.batch_norm),
    "aten.prelu.default": Rule(prelu),
    **{
        f"aten.{kind}_pool{n}d.default": Rule(per_channel(n), lipschitz=moved)
        for n in (1, 2, 3)
        for kind in ("max", "avg", "adaptive_avg")
    },
    **{f"aten.adaptive_max_pool{n}d.default": Rule(per_channel(n)) for n in (1, 2, 3)},
    **{
        f"aten.upsample_{kind}.vec": Rule(per_channel(n))
        for kind, n in (("nearest1d", 1), ("nearest2d", 2), ("linear1d", 1), ("bilinear2d", 2), ("bicubic2d", 2))
    },
    "aten.pad.default": Rule(pad),
    "aten.constant_pad_nd.default": Rule(pad),
    # over positions yes, over units no
    **{_name(short): Rule(reduce, lipschitz=moved) for short in ["mean.dim", "sum.dim_IntList"]},
    **{_name(short): Rule(reduce) for short in ["amax", "amin"]},
    "aten.linalg_vector_norm.default": Rule(lambda flow, node, x, order=2, *rest: reduce(flow, node, x, *rest)),
    "aten.softmax.int": Rule(normalise(lambda x, dim: [dim]), lipschitz=lipschitz.softmax),
    "aten.log_softmax.int": Rule(normalise(lambda x, dim: [dim])),
    "aten.layer_norm.default": Rule(normalise(lambda x, shape: range(-len(shape), 0))),
    "aten.rms_norm.default": Rule(normalise(lambda x, shape: range(-len(shape), 0))),
    "aten.group_norm.default": Rule(group_norm),
    # data movement
    **{_name(short): Rule(move, lipschitz=moved) for short in _MOVES.split()},
    **{_name(short): Rule(move) for short in _OTHER_MOVES.split()},
    "aten.channel_shuffle.default": Rule(channel_shuffle),
    "aten.pixel_shuffle.default": Rule(pixel_shuffle),
    "aten.reshape.default": Rule(move, resize=sizes(1), lipschitz=moved),
    "aten.expand.default": Rule(move, resize=sizes(1), lipschitz=moved),
    "aten.unflatten.int": Rule(move, resize=unflatten_sizes),
    "aten.chunk.default": Rule(move, resize=split_sizes, resized="aten.split_with_sizes.default"),
    "aten.split.Tensor": Rule(move, resize=split_sizes, resized="aten.split_with_sizes.default"),
    "aten.split_with_sizes.default": Rule(move, resize=split_sizes),
    "aten.slice.Tensor": Rule(move, resize=slice_bounds, lipschitz=moved),
    "aten.select.int": Rule(move, resize=select_index, lipschitz=moved),
    "getitem": Rule(pick),
    # sizes and fresh tensors
    "aten.sym_size.int": Rule(size),
    **{name: Rule(arithmetic) for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "truediv")},
    **{_name(short): Rule(create) for short in ["arange", "arange.start", "full", "ones", "zeros", "scalar_tensor"]},
}

LAYER_ATTRIBUTES: dict[tuple[type[nn.Module], ...], dict[str, Callable[[Any, int], int]]] = {
    (nn.Linear,): {
        "out_features": lambda layer, _: len(layer.weight),
        "in_features": lambda layer, _: layer.weight.shape[1],
    },
    (nn.Conv1d, nn.Conv2d, nn.Conv3d): {
        "groups": lambda layer, rows: layer.groups if layer.groups == 1 else layer.groups * len(layer.weight) // rows,
        "out_channels": lambda layer, _: len(layer.weight),
        "in_channels": lambda layer, _: layer.weight.shape[1] * layer.groups,
    },
    (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d): {"num_features": lambda layer, _: len(layer.running_mean)},
    (nn.PReLU,): {"num_parameters": lambda layer, _: len(layer.weight)},
}
"""Attributes in which layers repeat the sizes of their tensors: (layer after the cut, rows of its weight before) ->
value."""


def apply(flow: Flow, node: Node) -> None:
    """Let the labels flow through one operator."""
    name = operator_name(node)
    rule = RULES.get(name)
    args = (
        [flow.of(value) for value in node.args] if rule is None or rule.contraction is None else [flow.of(node.args[0])]
    )
    kwargs = (
        {} if rule is None or rule.flow is not move else {key: flow.of(value) for key, value in node.kwargs.items()}
    )
    flow.values[node] = (rule.flow if rule else unknown)(flow, node, *args, **kwargs)
