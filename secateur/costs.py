"""What a network costs with some of its units removed: parameters, bytes, FLOPs; and how long it takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils.flop_counter import FlopCounterMode

from secateur.units import Graph, UnitSet
from secateur.units.graph import Env, argument, operator_name, shape_for_one
from secateur.units.rules import RULES


@dataclass(frozen=True)
class Size:
    """Parameters; bytes of parameters and buffers; FLOPs of one example as torch counts them."""

    params: int
    bytes: int
    flops: int


class Costs:
    """The size of the network that is left when units go, without cutting it.

        FLOPs = sum over contractions of FLOPs(whole) * elements of the weight left / elements of the whole weight

    since every multiplication of a linear layer or convolution uses one element of its weight.
    """

    def __init__(self, graph: Graph, units: UnitSet, off: str = "zero") -> None:
        model = graph.model
        self._units = units
        self._tensors = {name: graph.weight(name) for name in dict.fromkeys(graph.names.values())}
        parameters = {id(p): p for p in model.parameters()}
        buffers = {id(b): b for b in model.buffers()}
        self._whole = Size(
            sum(p.numel() for p in parameters.values()),
            sum(t.numel() * t.element_size() for t in (*parameters.values(), *buffers.values())),
            0,
        )
        self._learned = {name for name, p in model.named_parameters(remove_duplicate=False)}
        self._flops = count_flops(graph)
        # With off="mean" a reader without a bias gets one, for the means of the units that go.
        self._bare = (
            [] if off == "zero" else [r for r in units.readings if len(r.node.args) < 3 or r.node.args[2] is None]
        )
        self._weight_of = {
            node: graph.names.get(argument(node, 1))
            for node in self._flops
            if (rule := RULES.get(operator_name(node))) is not None and rule.contraction is not None
        }

    def __call__(self, gone: Tensor) -> Size:
        """The size without the units marked in `gone` (K,) bool."""
        params, size = self._whole.params, self._whole.bytes
        share: dict[str, float] = {}
        for name, tensor in self._tensors.items():
            owners = self._units.slices.get(name)
            if not owners:
                continue
            left = 1
            for indices in self._units.kept(tensor.shape, owners, gone):
                left *= len(indices)
            share[name] = left / tensor.numel() if tensor.numel() else 1.0
            lost = tensor.numel() - left
            size -= lost * tensor.element_size()
            params -= lost if name in self._learned else 0
        marked = torch.cat((gone, gone.new_zeros(1)))
        for reading in self._bare:
            if bool(marked[reading.owner].any()):
                weight = self._weight_of[reading.node] or ""
                rows = self._units.kept(self._tensors[weight].shape, self._units.slices[weight], gone)[0]
                params += len(rows)
                size += len(rows) * self._tensors[weight].element_size()
        flops = sum(round(n * share.get(self._weight_of.get(node) or "", 1.0)) for node, n in self._flops.items())
        return Size(params, size, flops)


def count_flops(graph: Graph) -> Mapping[Node, int]:
    """FLOPs of each operator for one example, by torch's FlopCounterMode on the meta device (no arithmetic is done)."""
    found: dict[Node, int] = {}
    env: Env = {}
    for node, name in graph.names.items():
        env[node] = graph.weight(name).to("meta")
    for node, value in graph.constants.items():
        env[node] = value.to("meta")
    for node in graph.inputs:
        env[node] = torch.empty(shape_for_one(node), dtype=node.meta["val"].dtype, device="meta")
    for node in graph.nodes:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            graph.run(env, [node])
        if flops := counter.get_total_flops():
            found[node] = flops
    return found


@dataclass(frozen=True)
class Latency:
    """Wall time of one call, in milliseconds: median and the 10th and 90th percentile of the repeats."""

    median_ms: float
    low_ms: float
    high_ms: float


def latency(models: Sequence[nn.Module], inputs: Sequence[Tensor], repeats: int = 30) -> list[Latency]:
    """Time several networks on the same inputs, interleaved, so that a drift of the machine's speed hits all of
    them."""
    times: list[list[float]] = [[] for _ in models]
    with torch.inference_mode():
        for round_ in range(repeats + 3):
            for model, found in zip(models, times, strict=True):
                _synchronise(inputs)
                start = time.perf_counter()
                model(*inputs)
                _synchronise(inputs)
                if round_ >= 3:  # the first calls warm caches up
                    found.append(1e3 * (time.perf_counter() - start))
    result = []
    for found in times:
        deciles = statistics.quantiles(found, n=10)
        result.append(Latency(statistics.median(found), deciles[0], deciles[-1]))
    return result


def _synchronise(inputs: Sequence[Tensor]) -> None:
    if inputs and inputs[0].is_cuda:
        torch.cuda.synchronize()
