"""Fronts whose tail is dense layers only, packed for the compiled loop of kernel.py."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from secateur.gated import GatedLoss, Tile
from secateur.oracle.tail import Front
from secateur.units.graph import Env, argument, operator_name, shape_for_one

Activation = tuple[str, float, float]
"""The kernel's name of it, and its parameters."""


def _option(node: Node, position: int, name: str, default: Any) -> Any:
    return argument(node, position, node.kwargs.get(name, default))


# The activations that the compiled loop knows; any other runs in torch.
ACTIVATIONS: Mapping[str, Callable[[Node], Activation | None]] = MappingProxyType(
    {
        "aten.relu.default": lambda node: ("RELU", 0.0, 0.0),
        "aten.leaky_relu.default": lambda node: ("LEAKY_RELU", _option(node, 1, "negative_slope", 0.01), 0.0),
        "aten.sigmoid.default": lambda node: ("SIGMOID", 0.0, 0.0),
        "aten.tanh.default": lambda node: ("TANH", 0.0, 0.0),
        "aten.silu.default": lambda node: ("SILU", 0.0, 0.0),
        "aten.gelu.default": lambda node: (
            ("GELU_TANH" if _option(node, 1, "approximate", "none") == "tanh" else "GELU", 0.0, 0.0)
        ),
        "aten.softplus.default": lambda node: (
            "SOFTPLUS",
            _option(node, 1, "beta", 1),
            _option(node, 2, "threshold", 20),
        ),
        "aten.elu.default": lambda node: ("ELU", _option(node, 1, "alpha", 1), 0.0) if len(node.args) <= 2 else None,
    }
)
IDENTITY: Activation = ("IDENTITY", 0.0, 0.0)


@dataclass(frozen=True)
class Program:
    """What stands behind a front's reader: activations[0], linears[0], activations[1], ... , the network's answer."""

    activations: tuple[Activation, ...]
    linears: tuple[Node, ...]


def dense_program(loss: GatedLoss, front: Front) -> Program | None:
    """The program behind a front; None where anything but linear layers and known activations stands there."""
    graph, tail = loss.network.graph, front.tail
    if tail.again or len(tail.first) != 1 or not loss.maps or not loss.network.gated:
        return None
    (at,) = tail.first
    activations, linears, last = [], [], IDENTITY
    for node in (at, *tail.nodes):
        if node is not at and argument(node, 0) is not at:
            return None
        if operator_name(node) == "aten.linear.default":
            if not all(source in graph.names for source in node.all_input_nodes[1:]) or len(_shape(node)) != 1:
                return None
            if node is not at:
                activations.append(last)
                linears.append(node)
                last = IDENTITY
        else:
            known = ACTIVATIONS.get(operator_name(node), lambda node: None)(node)
            if known is None or last is not IDENTITY or len(node.all_input_nodes) > 1:
                return None
            last = known
        at = node
    if list(graph.output) != [at]:
        return None
    return Program((*activations, last), tuple(linears))


@dataclass(frozen=True)
class Dense:
    """Candidates that one linear layer reads, behind which only activations and linear layers stand.

    Units that are off are left out of the weights (for off="mean" their constant goes into the bias), so a round gets
    cheaper as units go.
    """

    loss: GatedLoss
    reader: Node
    columns: Tensor  # (candidates, columns of each) of the reader's input
    kept: Tensor  # the outputs of the reader that are read by what is on
    read: Any  # (candidates, columns of each, kept): the reader's weights
    tail: Any  # widths, activations, their parameters, weights and biases of what follows

    @classmethod
    def of(cls, loss: GatedLoss, gates: Tensor, front: Front) -> Dense | None:
        """The front, packed under these gates; None where the compiled loop can't serve it."""
        if gates.device.type != "cpu" or loss.dtype not in (torch.float32, torch.float64):
            return None
        program = dense_program(loss, front)
        if program is None or (gates[front.units] != 1).any():
            return None
        ((reader, columns),) = front.first.items()
        weight = _parameter(loss, reader, 1)
        layers = [_gated(loss, node, gates) for node in program.linears]
        every = torch.arange(len(weight))
        kept = [layer[0] for layer in layers] + [every if not layers else torch.arange(len(layers[-1][1]))]
        read = weight[kept[0]][:, columns.flatten()].T.reshape(*columns.shape, len(kept[0]))
        tail = _pack(program, layers, kept, loss.dtype)
        return cls(loss, reader, columns, kept[0], read.contiguous().numpy(), tail)

    def changes(self, base: Env, on: Tensor, tile: Tile, summed: bool) -> Tensor:
        """The change of the loss for each candidate, summed over the tile's examples or for each of them; not finite
        where a loss is not.

        Shape: (candidates,) or (candidates, examples), float64.
        """
        from secateur.oracle import kernel

        part = self.part(base).T.contiguous().reshape(*self.columns.shape, len(on))
        loss = kernel_loss(self.loss.loss, tile.target, kernel)
        arrays = part.numpy(), self.read, self.answer(base).numpy(), self.tail, loss, on.numpy()
        blocks = -(-len(on) // kernel.BLOCK)
        sums = np.zeros((blocks, len(self.columns)))
        rows = np.zeros((0 if summed else len(self.columns), len(on)))
        in_threads(lambda first, last: kernel.changes(first, last, *arrays, sums, rows), blocks)
        return torch.from_numpy(sums.sum(0) if summed else rows)

    def part(self, base: Env) -> Tensor:
        """What the reader reads of the candidates: (examples, candidates x columns of each)."""
        columns = self.columns.flatten()
        value = base[argument(self.reader, 0)].index_select(1, columns)
        return value - self.loss.network.means[self.reader][columns] if self.loss.off == "mean" else value

    def answer(self, base: Env) -> Tensor:
        """The reader's answer, as far as anything reads it: (examples, kept)."""
        found = base[self.reader]
        return (found if len(self.kept) == found.shape[1] else found.index_select(1, self.kept)).contiguous()


def in_threads(work: Callable[[int, int], None], count: int) -> None:
    """Share out the range among as many threads as torch uses; the work lets go of Python's lock."""
    threads = min(torch.get_num_threads(), count)
    edges = [count * at // threads for at in range(threads + 1)]
    others = [_pool(os.getpid()).submit(work, first, last) for first, last in itertools.pairwise(edges[1:])]
    work(edges[0], edges[1])
    for other in others:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """The threads of this process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="secateur")


def _gated(loss: GatedLoss, node: Node, gates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A linear layer under the gates of what it reads: the columns that are on, their weights, and the bias."""
    weight = _parameter(loss, node, 1)
    bias = _parameter(loss, node, 2)
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    reading = loss.network.readings.get(node)
    if reading is None:
        return torch.arange(weight.shape[1]), weight, bias
    gate = torch.cat((gates, gates.new_ones(1)))[reading.owner]  # index -1: what belongs to no unit is always on
    kept = gate.nonzero().flatten()
    wide = weight.to(torch.float64)
    if loss.off == "mean":
        bias = bias + (wide @ ((1 - gate) * loss.network.means[node].to(torch.float64))).to(bias.dtype)
    return kept, (wide[:, kept] * gate[kept]).to(weight.dtype), bias


def _pack(program: Program, layers: list[tuple[Tensor, Tensor, Tensor]], kept: list[Tensor], dtype: torch.dtype) -> Any:
    """The arrays of the kernel: weights and biases of all layers in one array each, padded to the widest."""
    from secateur.oracle import kernel

    widths = [len(columns) for columns in kept]
    weight = torch.zeros(len(layers), max(widths), max(widths), dtype=dtype)
    bias = torch.zeros(len(layers), max(widths), dtype=dtype)
    for at, (_, matrix, constant) in enumerate(layers):
        rows = kept[at + 1]
        weight[at, : len(rows), : widths[at]] = matrix[rows]
        bias[at, : len(rows)] = constant[rows]
    codes = np.array([getattr(kernel, name) for name, _, _ in program.activations])
    parameters = np.array([values for _, *values in program.activations], dtype=np.float64)
    return np.array(widths), codes, parameters, weight.numpy(), bias.numpy()


def kernel_loss(name: Any, target: Tensor, kernel: Any) -> Any:
    """The loss as the kernel takes it: its number, its factor, classes, values of the targets."""
    classes, values = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 0, dtype=torch.float64)
    if target.is_floating_point():
        values = target.reshape(len(target), -1).contiguous()
    else:
        classes = target.contiguous()
    code, factor = {
        "sse": (kernel.SQUARES, 0.5),
        "self": (kernel.SQUARES, 0.5),
        "mse": (kernel.SQUARES, 1 / max(1, values.shape[1])),
        "bce": (kernel.BINARY, 1.0),
        "cross_entropy": (kernel.PROBABILITIES if target.is_floating_point() else kernel.CLASSES, 1.0),
    }[name]
    return code, factor, classes.numpy(), values.numpy()


def _parameter(loss: GatedLoss, node: Node, position: int) -> Any:
    name = loss.network.graph.names.get(argument(node, position))
    return None if name is None else loss.network.graph.weight(name)


def _shape(node: Node) -> tuple[int, ...]:
    """Of one example's value."""
    return shape_for_one(node)[1:]
