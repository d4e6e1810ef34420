"""The network with a gate on every unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.fx import Node

from secateur.units import Graph, Reading, UnitSet
from secateur.units.graph import Env, argument, evaluate

Off = Literal["zero", "mean"]


class GatedNetwork:
    """A network whose units are multiplied by gates where they are read.

    value read = m + g (value - m),   m = 0 for off="zero", the unit's mean over the examples for off="mean"
    """

    def __init__(self, graph: Graph, units: UnitSet, off: Off = "zero") -> None:
        self.graph = graph
        self.units = units
        self.off = off
        self.readings: dict[Node, Reading] = {r.node: r for r in units.readings if bool((r.owner >= 0).any())}
        self.means: dict[Node, Tensor] = {}

    def read(self, reading: Reading, value: Tensor, gates: Tensor) -> Tensor:
        """What the reader receives."""
        one = torch.cat((gates, gates.new_ones(1))).to(value.dtype)  # index -1: what belongs to no unit is always on
        gate = reading.shape(value, one[reading.owner.to(gates.device)])
        if self.off == "zero":
            return value * gate
        mean = reading.shape(value, self.means[reading.node])
        return mean + gate * (value - mean)

    def replace(self, gates: Tensor) -> Callable[[Node, Env], Any]:
        """For Graph.run: the readers' operators, on gated inputs."""

        def gated(node: Node, env: Env) -> Any:
            reading = self.readings.get(node)
            if reading is None:
                return None
            source = argument(node, 0)
            return evaluate(node, {**env, source: self.read(reading, env[source], gates)})

        return gated

    def __call__(self, inputs: Sequence[Tensor], gates: Tensor) -> Any:
        """The network's answer under these gates."""
        env = self.graph.leaves(inputs, gates.device)
        return self.graph.result(self.graph.run(env, replace=self.replace(gates), keep=()))

    def measure_means(self, tiles: Iterator[tuple[Tensor, ...]]) -> None:
        """The mean of what each reader reads, for each index of its contracted dimension, over examples and
        positions."""
        sums: dict[Node, Tensor] = {}
        counts: dict[Node, int] = {}
        dtypes: dict[Node, torch.dtype] = {}
        for inputs in tiles:
            env = self.graph.leaves(inputs, inputs[0].device)
            self.graph.run(env, keep={argument(node, 0) for node in self.readings})
            for node, reading in self.readings.items():
                value = env[argument(node, 0)]
                lines = value.to(torch.float64).movedim(reading.dim, 0).flatten(1)
                dtypes[node] = value.dtype
                sums[node] = sums.get(node, 0) + lines.sum(1)
                counts[node] = counts.get(node, 0) + lines.shape[1]
        self.means = {node: (total / counts[node]).to(dtypes[node]) for node, total in sums.items()}
