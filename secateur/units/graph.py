"""The network as a graph of aten operators, captured once with torch.export and run on the user's own parameters."""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as _pytree
from torch import Tensor, nn
from torch.fx import Node
from torch.fx.node import map_arg

from secateur.errors import TraceError

aten = torch.ops.aten

Env = dict[Node, Any]
Replace = Callable[[Node, Any], Any]


@dataclass(frozen=True)
class Graph:
    """A functional graph: no in-place operators, no dropout, any number of examples.

    `names` maps the placeholders of parameters and buffers to their names in `model`; tensors that the code itself
    makes (`torch.tensor([2.0])`) are `constants`. Parameters are looked up in the model at every run, so the graph
    always computes what the model would compute now.
    """

    model: nn.Module
    nodes: tuple[Node, ...]
    inputs: tuple[Node, ...]
    keywords: tuple[str, ...]
    names: Mapping[Node, str]
    constants: Mapping[Node, Tensor]
    output: Any
    out_spec: Any

    @staticmethod
    def trace(model: nn.Module, args: Sequence[Tensor] = (), kwargs: Mapping[str, Tensor] | None = None) -> Graph:
        """Capture `model` on these inputs; the first dimension of every input is the batch.

        Raises: TraceError where torch.export cannot follow the code, or the code fixes the batch size.
        """
        kwargs = dict(kwargs or {})
        # A batch of 1 would be specialised by export; 2 rows are enough for it to see a dynamic dimension.
        two = [_rows(value, 2) for value in args]
        two_kwargs = {key: _rows(value, 2) for key, value in kwargs.items()}
        batch = {0: torch.export.Dim.AUTO}
        shapes = dict.fromkeys(kwargs, batch) if kwargs else tuple(batch for _ in args)
        try:
            with torch.no_grad(), _quietly():
                program = torch.export.export(
                    model, tuple(two), two_kwargs, dynamic_shapes=shapes, strict=False
                ).run_decompositions({})
        except Exception as error:  # export raises many unrelated types; the first line tells what it met
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise TraceError(
                f"torch.export could not capture {type(model).__name__}: {first} "
                "Make `forward` traceable (no data-dependent Python branches), or prune a part of the network that is."
            ) from error
        graph, signature = program.graph, program.graph_signature
        _simplify(graph)
        nodes = tuple(node for node in graph.nodes if node.op == "call_function")
        names, constants, inputs = {}, {}, []
        for node in graph.nodes:
            if node.op != "placeholder":
                continue
            if name := signature.inputs_to_parameters.get(node.name) or signature.inputs_to_buffers.get(node.name):
                if node.users:  # of several names of a tied tensor, the graph uses one
                    names[node] = name
            elif name := signature.inputs_to_lifted_tensor_constants.get(node.name):
                constants[node] = program.constants[name]
            else:
                inputs.append(node)
        for node in inputs:
            shape = getattr(node.meta.get("val"), "shape", None)
            if shape is not None and (len(shape) == 0 or not _is_free(shape[0])):
                raise TraceError(
                    f"the code of {type(model).__name__} fixes the size of dimension 0 of input {node.name!r} at "
                    f"{shape[0] if len(shape) else 'nothing'}; secateur needs any number of examples there. "
                    "Replace the literal number, or len(x), by x.shape[0] in the code that fixes it."
                )
        if len(inputs) != len(two) + len(two_kwargs):
            raise TraceError(f"{len(two) + len(two_kwargs)} inputs were given, the captured graph has {len(inputs)}")
        (output,) = (node for node in graph.nodes if node.op == "output")
        return Graph(
            model,
            nodes,
            tuple(inputs),
            tuple(kwargs),
            names,
            constants,
            output.args[0],
            program.call_spec.out_spec,
        )

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    def weight(self, name: str) -> Tensor:
        """The parameter or buffer of that name, as it is now."""
        module, _, leaf = name.rpartition(".")
        return getattr(self.model.get_submodule(module), leaf).detach()

    def leaves(self, inputs: Sequence[Tensor], device: torch.device | None = None) -> Env:
        """The environment before the first operator."""
        env: Env = {node: self.weight(name) for node, name in self.names.items()}
        env.update((node, value.to(device) if device else value) for node, value in self.constants.items())
        env.update(zip(self.inputs, inputs, strict=True))
        return env

    def run(
        self,
        env: Env,
        nodes: Iterable[Node] | None = None,
        replace: Replace | None = None,
        keep: Collection[Node] | None = None,
    ) -> Env:
        """Evaluate `nodes` (all by default) in order, into `env`.

        `replace(node, env)` may return the node's value in place of what its operator gives, or None to let it run.
        With `keep`, every other intermediate value is dropped after its last use.
        """
        order = self.nodes if nodes is None else tuple(nodes)
        last = _last_uses(order, self.output) if keep is not None else {}
        for node in order:
            value = replace(node, env) if replace else None
            env[node] = evaluate(node, env) if value is None else value
            if keep is not None:
                for dead in last.get(node, ()):
                    if dead not in keep:
                        env.pop(dead, None)
        return env

    def result(self, env: Env) -> Any:
        """The network's answer, in the structure in which the model gives it."""
        flat = [lookup(item, env) for item in self.output]
        return _pytree.tree_unflatten(flat, self.out_spec)

    def descendants(self, roots: Iterable[Node]) -> frozenset[Node]:
        """The roots, and every operator that depends on one of them."""
        found = set(roots)
        for node in self.nodes:
            if any(source in found for source in node.all_input_nodes):
                found.add(node)
        return frozenset(found)


def argument(node: Node, position: int, default: Any = None) -> Any:
    """One argument of an operator: a node, or a plain value."""
    return node.args[position] if len(node.args) > position else default


def evaluate(node: Node, env: Mapping[Node, Any]) -> Any:
    """One operator on the values of its arguments."""
    args = map_arg(node.args, lambda source: env[source])
    kwargs = map_arg(node.kwargs, lambda source: env[source])
    return run(node, *args, **kwargs)


def run(node: Node, *args: Any, **kwargs: Any) -> Any:
    """A node's operator on other arguments."""
    target: Any = node.target
    return target(*args, **kwargs)


def lookup(item: Any, env: Mapping[Node, Any]) -> Any:
    return env[item] if isinstance(item, Node) else item


def operator_name(node: Node) -> str:
    """The name by which the table of rules knows an operator: "aten.conv2d.default", "getitem", "sym_size"."""
    target = node.target
    return str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))


def module_path(node: Node) -> str:
    """The module in whose forward the operator was called; "" is the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return "" if path.startswith("_empty") else path


def source_line(node: Node) -> str:
    """File, line and code that called the operator: the innermost line outside torch."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").strip().splitlines()]
    calls = [(line, code) for line, code in zip(lines, [*lines[1:], ""], strict=False) if line.startswith("File ")]
    users = [pair for pair in calls if "/torch/" not in pair[0].replace("\\", "/")] or calls
    if not users:
        return ""
    place, code = users[-1]
    parts = place.removeprefix("File ").split(", ")
    line = parts[1].removeprefix("line ") if len(parts) > 1 else "?"
    return f"{parts[0].strip(chr(34))}:{line}: {code}"


def shape_for_one(value: Any) -> tuple[int, ...]:
    """The shape of a node's tensor (or of a fake tensor) when the batch holds one example."""
    fake = value.meta["val"] if isinstance(value, Node) else value
    return tuple(size_for_one(size) for size in fake.shape)


def example_dim(node: Node) -> int | None:
    """The dimension of a tensor along which its examples lie; None where none is theirs alone, as after a reshape
    that puts them together with positions."""
    shape = node.meta["val"].shape
    free = [dim for dim, size in enumerate(shape) if _is_free(size)]
    return free[0] if len(free) == 1 and size_for_one(shape[free[0]]) == 1 else None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep torch's own warnings and logs of a capture to itself: what fails is told by the error."""
    loggers = [logging.getLogger(name) for name in ("torch.fx.experimental.symbolic_shapes", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _is_free(size: Any) -> bool:
    """Whether a dimension may have any size: a size that the code has fixed may still be a symbol, of one value."""
    return not isinstance(size, int) and bool(size.node.expr.free_symbols)


def size_for_one(size: int | torch.SymInt) -> int:
    """A size that may follow from the batch's, when the batch holds one example."""
    if isinstance(size, int):
        return size
    expression = size.node.expr
    return int(expression.subs(dict.fromkeys(expression.free_symbols, 1)))


def _rows(value: Tensor, count: int) -> Tensor:
    """`count` rows of examples, repeating the first where there are too few."""
    if value.dim() == 0 or value.shape[0] == 0:
        raise TraceError(f"an input of shape {tuple(value.shape)} holds no example; its first dimension is the batch")
    return value[:count] if value.shape[0] >= count else value[:1].expand(count, *value.shape[1:]).clone()


def _last_uses(order: Sequence[Node], output: Any) -> dict[Node, list[Node]]:
    """For each operator, the values that nothing later in `order` reads."""
    last: dict[Node, Node] = {}
    for node in order:
        last[node] = node
        for source in node.all_input_nodes:
            last[source] = node
    result = {item for item in output if isinstance(item, Node)}
    uses: dict[Node, list[Node]] = {}
    for value, node in last.items():
        if value not in result and value.op == "call_function":
            uses.setdefault(node, []).append(value)
    return uses


_COPIES = (aten.clone.default, aten.alias.default, aten.lift_fresh_copy.default, aten.detach.default)


def _simplify(graph: torch.fx.Graph) -> None:
    """Undo what functionalisation made of dropout and batch normalisation, drop checks and dead code."""
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if node.target in _COPIES and not node.kwargs:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default  # the same values from any memory layout
        elif node.target is aten.squeeze.default:
            # Which dimensions: the code means those of length 1 here, not a batch of one, nor a layer cut to one unit.
            shape = node.args[0].meta["val"].shape
            dims = [dim for dim, size in enumerate(shape) if isinstance(size, int) and size == 1]
            node.target, node.args = aten.squeeze.dims, (node.args[0], dims)
        elif node.target is aten.adaptive_avg_pool2d.default and list(node.args[1]) == [1, 1]:
            # The mean by another name, for which vmap has no rule where channels come last: it loops, and warns.
            node.target, node.args = aten.mean.dim, (node.args[0], [-2, -1], True)
        elif node.target is aten._native_batch_norm_legit_no_training.default:
            # The fused operator returns a tuple and has no second derivative; batch_norm has one and is what one wrote.
            x, weight, bias, mean, variance, momentum, epsilon = node.args
            with graph.inserting_before(node):
                plain = graph.call_function(
                    aten.batch_norm.default, (x, weight, bias, mean, variance, False, momentum, epsilon, False)
                )
            plain.meta = dict(node.meta, val=node.meta["val"][0])
            for user in list(node.users):
                if user.target is operator.getitem and user.args[1] == 0:
                    user.replace_all_uses_with(plain)
                    graph.erase_node(user)
            if not node.users:
                graph.erase_node(node)
        elif str(node.target).startswith(("aten._assert", "aten.sym_constrain")) or node.target is torch._check:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    graph.lint()
