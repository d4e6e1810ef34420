"""The cut of the captured graph: its sizes follow from what is left of every value, so it can always be built."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.utils._pytree as _pytree
from torch import Tensor, fx, nn
from torch.fx import Node
from torch.fx.node import map_arg

from secateur.errors import UnitError
from secateur.gated import GatedNetwork
from secateur.surgery.plan import Plan
from secateur.units import rules
from secateur.units.graph import argument, aten, operator_name, run, shape_for_one


def cut_graph(network: GatedNetwork, plan: Plan) -> fx.GraphModule:
    """The graph without the units, as a module that needs no class of the user's; parameters keep their names.

    Raises: UnitError where an operator can't be given the sizes that are left.
    """
    source = network.graph
    root = nn.Module()
    graph = fx.Graph()
    made: dict[Node, Any] = {}
    for at, node in enumerate(source.inputs):
        made[node] = graph.placeholder(source.keywords[at] if source.keywords else node.name)
    for node, name in source.names.items():
        tensor = _parameter(source.model, name)
        _put(root, name, _like(tensor, plan.slice(name, tensor.detach())))
        made[node] = graph.get_attr(name)
    for node, tensor in source.constants.items():
        _put(root, node.name, plan.slice(node.name, tensor))
        made[node] = graph.get_attr(node.name)

    def kept(value: Any) -> Any:
        owners = network.units.values.get(value)
        if isinstance(owners, (list, tuple)):
            return [
                _kept(network, shape_for_one(fake), of, plan)
                for fake, of in zip(value.meta["val"], owners, strict=True)
            ]
        return _kept(network, shape_for_one(value), owners or {}, plan)

    for node in source.nodes:
        target, args = _resized(node, kept)
        if (runs := _runs(node, target, args, kept, network.units.values)) is not None:
            made[node] = _from_runs(graph, made[argument(node, 0)], *runs)
            continue
        args = _map(args, made)
        if (gain := plan.bias.get(node)) is not None:
            bias = args[2] if len(args) > 2 else None
            args = (*args[:2], _add_bias(graph, root, source.names[argument(node, 1)], bias, gain), *args[3:])
        made[node] = graph.call_function(target, args, _map(dict(node.kwargs), made))
    graph.output(_pytree.tree_unflatten([_map(item, made) for item in source.output], source.out_spec))
    graph.lint()
    return fx.GraphModule(root, graph, type(source.model).__name__)


def _resized(node: Node, kept: Callable[[Any], Any]) -> tuple[Any, tuple[Any, ...]]:
    """The operator and its arguments in the cut network."""
    rule = rules.RULES.get(operator_name(node))
    target, args = node.target, node.args
    if rule is not None and rule.resize is not None and (new := rule.resize(node, kept)) is not None:
        args = new
        if rule.resized is not None:
            packet, overload = rule.resized.removeprefix("aten.").split(".")
            target = getattr(getattr(torch.ops.aten, packet), overload)
    return target, args


def _runs(
    node: Node, target: Any, args: tuple[Any, ...], kept: Callable[[Any], Any], values: Mapping[Node, Any]
) -> tuple[int, list[tuple[int, int]]] | None:
    """Moving what is left must give what is left of the moved: tried on the positions of the elements themselves.

    None where it does. Where an operator's numbers can't tell it (a roll, every second channel): the dimension, and the
    runs of its slices, first and last, that make the result.

    Raises: UnitError where no runs do.
    """
    rule = rules.RULES.get(operator_name(node))
    sources = [item for item in node.all_input_nodes if isinstance(item.meta.get("val"), Tensor)]
    if rule is None or rule.flow is not rules.move or len(sources) != 1 or not isinstance(node.meta.get("val"), Tensor):
        return None  # joining whole tensors, or splitting by sizes, has no numbers to get wrong
    (source,) = sources
    shape = shape_for_one(source)
    if [len(indices) for indices in kept(source)] == list(shape):
        return None
    whole = torch.arange(torch.Size(shape).numel()).view(shape)
    sizes = {item: values[item] for item in node.all_input_nodes if item is not source}
    expected = _take(run(node, *_map(node.args, {**sizes, source: whole})), kept(node))
    left = _take(whole, kept(source))
    try:
        if torch.equal(target(*_map(args, {**sizes, source: left})), expected):
            return None
    except RuntimeError:
        pass
    free = [dim for dim, size in enumerate(node.meta["val"].shape) if not isinstance(size, int)]  # examples
    for dim in range(left.dim() if left.dim() == expected.dim() else 0):
        if dim in free:
            continue
        there, wanted = left.movedim(dim, 0).flatten(1).tolist(), expected.movedim(dim, 0).flatten(1).tolist()
        if all(line in there for line in wanted):
            order = [there.index(line) for line in wanted]
            starts = [at for at, index in enumerate(order) if at == 0 or index != order[at - 1] + 1]
            return dim, [(order[a], order[b - 1]) for a, b in itertools.pairwise([*starts, len(order)])]
    raise UnitError(f"{operator_name(node)} ({node.name}) can't be given the sizes that are left after this cut")


def _from_runs(graph: fx.Graph, value: Node, dim: int, runs: list[tuple[int, int]]) -> Node:
    slices = [graph.call_function(aten.slice.Tensor, (value, dim, first, last + 1)) for first, last in runs]
    return slices[0] if len(slices) == 1 else graph.call_function(aten.cat.default, (slices, dim))


def _take(tensor: Tensor, kept: Any) -> Tensor:
    for dim, indices in enumerate(kept):
        tensor = tensor.index_select(dim, indices)
    return tensor


def _kept(network: GatedNetwork, shape: tuple[int, ...], owners: Any, plan: Plan) -> list[Tensor]:
    return network.units.kept(shape, owners, plan.gone)


def _map(value: Any, made: dict[Node, Any]) -> Any:
    return map_arg(value, lambda node: made[node])


def _add_bias(graph: fx.Graph, root: nn.Module, weight: str, bias: Node | None, gain: Tensor) -> Node:
    """The bias of the reader of that weight, which the means of the units that went are added to."""
    if bias is None:
        name = f"{weight.rpartition('.')[0]}.bias".lstrip(".")
        _put(root, name, nn.Parameter(gain.clone(), requires_grad=_parameter(root, weight).requires_grad))
        return graph.get_attr(name)
    old = _parameter(root, str(bias.target))
    _put(root, str(bias.target), _like(old, old.detach() + gain))
    return bias


def _parameter(model: nn.Module, name: str) -> Tensor:
    path, _, leaf = name.rpartition(".")
    return getattr(model.get_submodule(path), leaf)


def _like(old: Tensor, value: Tensor) -> Tensor:
    return nn.Parameter(value, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else value


def _put(root: nn.Module, name: str, value: Tensor) -> None:
    """Register a tensor under its dotted name, in empty modules made on the way."""
    *path, leaf = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root._modules[part]  # pyright: ignore[reportAssignmentType]
    if isinstance(value, nn.Parameter):
        root.register_parameter(leaf, value)
    else:
        root.register_buffer(leaf, value)
