"""The state of the labels' walk through a graph: what the rows of the table work with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from secateur.units.graph import Graph, argument, shape_for_one
from secateur.units.labels import CONSTANT, FIXED, Labels, along, squash, varying


@dataclass(frozen=True)
class Reader:
    """An operator that contracts over units: its input's dimension `dim` holds the labels `columns`."""

    node: Node
    dim: int
    columns: Tensor


@dataclass(frozen=True)
class Maker:
    """An operator that makes units: output channel i has label rows[i] and comes from slice i of these parameters."""

    node: Node
    rows: Tensor
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Broadcast:
    """A value whose elements each meet several of another value's. One that meets a single unit everywhere goes with
    it; which do is known only when all joins are."""

    node: Node
    labels: Tensor  # of the value that is broadcast, over these dimensions of the other
    dims: tuple[int, ...]
    other: Tensor

    def meets(self, classes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For each element of the value that is broadcast: its label, one label that it meets, and whether all that it
        meets are of one class, and of a unit."""
        met = classes[self.other]
        low, high = met.amin(self.dims, keepdim=True), met.amax(self.dims, keepdim=True)
        return self.labels, self.other.amax(self.dims, keepdim=True), (low == high) & (high > CONSTANT)


class Flow:
    """Labels of every value and parameter of a graph, while the rules walk over it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.labels = Labels()
        self.values: dict[Node, Any] = {}
        self.slices: dict[str, dict[int, Tensor]] = {}  # weights of contractions: a label for each row and column
        self.elements: dict[str, Tensor] = {}  # other parameters: a label for each element
        self.readers: list[Reader] = []
        self.makers: list[Maker] = []
        self.broadcasts: list[Broadcast] = []
        self._clashes: set[str] = set()
        for node in graph.inputs:
            self.values[node] = self.full(node, FIXED)

    def full(self, node: Node, label: int) -> Tensor:
        return torch.tensor(label).expand(shape_for_one(node))

    def of(self, value: Any) -> Any:
        """The labels of an argument: of a node, of a list of nodes; anything else is itself."""
        if isinstance(value, Node):
            if value not in self.values:
                self.values[value] = self._leaf(value)
            return self.values[value]
        if isinstance(value, (list, tuple)):
            return type(value)(self.of(item) for item in value)
        return value

    def _leaf(self, node: Node) -> Tensor:
        """A parameter, buffer or constant starts with a label for each element, shared by all its uses."""
        name = self.graph.names.get(node, node.name)
        if name not in self.elements:
            self.elements[name] = self.labels.fresh(*shape_of_leaf(self.graph, node))
        if name in self.slices:
            contractions = {maker.node for maker in self.makers}
            self._clash(name, next(user for user in node.users if user not in contractions))
        return self.elements[name]

    def weight(self, node: Any, user: Node, columns: bool) -> dict[int, Tensor] | None:
        """Labels for the rows (and columns) of a contraction's weight; None where it is not a plain parameter."""
        name = self.graph.names.get(node) if isinstance(node, Node) else None
        if name is None:
            return None
        shape = self.graph.weight(name).shape
        slices = self.slices.setdefault(name, {0: self.labels.fresh(shape[0])})
        if columns and 1 not in slices:
            slices[1] = self.labels.fresh(shape[1])
        if name in self.elements:
            self._clash(name, user)
        return slices

    def _clash(self, name: str, node: Node) -> None:
        if name not in self._clashes:
            self._clashes.add(name)
            reason = f"parameter {name} is a weight here and something else elsewhere"
            self.labels.refuse(self.elements[name], node, reason)
            for labels in self.slices[name].values():
                self.labels.refuse(labels, node, reason)

    def join(self, node: Node, first: Tensor, second: Tensor) -> Tensor:
        """Element by element together; what meets FIXED elements is refused, at this operator."""
        first, second = torch.broadcast_tensors(first, second)
        left, right = squash(first, second)
        reason = "joins values of a fixed size, such as the network's input"
        self.labels.refuse(left[right == FIXED], node, reason)
        self.labels.refuse(right[left == FIXED], node, reason)
        return self.labels.join(first, second)

    def merge(self, node: Node, operands: Sequence[Any]) -> Tensor:
        """Element-wise operators: operands are joined position by position.

        An operand that is broadcast over units (a gate of one channel on many) is set aside: see Broadcast.
        """
        tensors = [operand for operand in operands if isinstance(operand, Tensor)]
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        merged = torch.tensor(CONSTANT).expand(shape)
        for position, labels in enumerate(tensors):
            aside = False
            for other in tensors[:position] + tensors[position + 1 :]:
                ours = labels.view(*[1] * (len(shape) - labels.dim()), *labels.shape)
                theirs = other.view(*[1] * (len(shape) - other.dim()), *other.shape)
                dims = tuple(dim for dim in range(len(shape)) if ours.shape[dim] == 1 < theirs.shape[dim])
                if any(dim in dims for dim in varying(theirs)):
                    self.broadcasts.append(Broadcast(node, ours, dims, theirs))
                    aside = True
            if not aside:
                merged = self.join(node, merged, labels)
        return merged

    def channels(self, node: Node, labels: Tensor, dim: int) -> Tensor:
        """One label for each index of `dim`: what lies in one slice belongs together."""
        dim %= labels.dim()
        one = along(labels, dim)
        if one is not None:
            return one
        others = tuple(other for other in range(labels.dim()) if other != dim)
        self.join(node, labels, labels.amax(others, keepdim=True))
        return labels.amax(others)

    def contract(self, node: Node, labels: Tensor, dim: int, out_dim: int, groups: int = 1) -> Tensor:
        """A contraction over dimension `dim` of its input with a weight (out, in / groups, ...) and a bias (out,).

        It ends the labels of its input and gives each output channel a fresh one. With groups, the channels of a
        group, those that go in and those that come out, go together.
        """
        weight = self.weight(argument(node, 1), node, columns=groups == 1)
        columns = self.channels(node, labels, dim)
        if weight is None:
            self.labels.refuse(columns, node, "is multiplied by weights that are computed")
            return self.full(node, FIXED)
        rows = weight[0]
        parameters = [self.graph.names[argument(node, 1)]]
        bias = argument(node, 2)
        if bias is not None:
            self.join(node, self.of(bias), rows)
            if (name := self.graph.names.get(bias)) is not None:
                parameters.append(name)
        if groups == 1:
            self.join(node, columns, weight[1])
            self.readers.append(Reader(node, dim % labels.dim(), weight[1]))
        else:
            group = torch.cat((columns.view(groups, -1), rows.view(groups, -1)), 1)
            self.join(node, group, group[:, -1:])
        self.makers.append(Maker(node, rows, tuple(parameters)))
        shape = shape_for_one(node)
        view = [1] * len(shape)
        view[out_dim] = -1
        return rows.view(view).expand(shape)


def shape_of_leaf(graph: Graph, node: Node) -> tuple[int, ...]:
    name = graph.names.get(node)
    return tuple((graph.constants[node] if name is None else graph.weight(name)).shape)
