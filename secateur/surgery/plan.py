"""What a cut does, as data: which indices of which parameter stay, and what is added to which bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fx import Node

from secateur.errors import UnitError
from secateur.gated import GatedNetwork
from secateur.units.graph import argument, evaluate


@dataclass(frozen=True)
class Plan:
    """`keep`: parameter or buffer -> dimension -> the indices that stay (dimensions that stay whole are left out).
    `bias`: reader -> what its bias gains for the units whose mean stays (off="mean")."""

    gone: Tensor
    keep: dict[str, dict[int, Tensor]]
    bias: dict[Node, Tensor]

    def slice(self, name: str, tensor: Tensor) -> Tensor:
        """The part of a parameter that stays, in storage of its own."""
        for dim, indices in self.keep.get(name, {}).items():
            tensor = tensor.index_select(dim, indices.to(tensor.device))
        return tensor.clone(memory_format=torch.preserve_format)


def plan_cut(network: GatedNetwork, units: list[int]) -> Plan:
    """The plan that removes these units (positions).

    Raises: UnitError where nothing would be left of a layer.
    """
    gone = torch.zeros(len(network.units), dtype=torch.bool)
    gone[units] = True
    for site in network.units.sites:
        if bool(gone[list(site.units)].all()):
            raise UnitError(
                f"all {len(site.units)} {site.kind}s of {site.layer} would go, and nothing be left for its readers "
                f"({', '.join(site.readers)}); keep one or more of each site"
            )
    keep: dict[str, dict[int, Tensor]] = {}
    for name, owner_of in network.units.slices.items():
        kept = {dim: (~_marked(owner, gone)).nonzero().flatten() for dim, owner in owner_of.items() if len(owner)}
        if kept := {dim: indices for dim, indices in kept.items() if len(indices) < len(owner_of[dim])}:
            keep[name] = kept
    return Plan(gone, keep, _biases(network, gone, keep) if network.off == "mean" else {})


def _marked(owner: Tensor, gone: Tensor) -> Tensor:
    return torch.cat((gone, gone.new_zeros(1)))[owner]  # NOBODY, index -1, never goes


def _biases(network: GatedNetwork, gone: Tensor, keep: dict[str, dict[int, Tensor]]) -> dict[Node, Tensor]:
    """What each reader makes of the means of the units that go: a constant for each output channel that stays."""
    found = {}
    graph = network.graph
    weights = {node: graph.weight(name) for node, name in graph.names.items()}
    for node, reading in network.readings.items():
        marked = _marked(reading.owner, gone)
        if not bool(marked.any()):
            continue
        weight, bare = weights[argument(node, 1)], argument(node, 2)
        mean = torch.where(marked.to(weight.device), network.means[node], 0)
        # The mean in every position that one output looks at: the contraction itself then gives the constant.
        dilation = argument(node, 5, 1)
        steps = dilation if isinstance(dilation, (list, tuple)) else [dilation] * (weight.dim() - 2)
        extent = [(n - 1) * step + 1 for n, step in zip(weight.shape[2:], steps, strict=True)]
        source = mean.view(1, -1, *[1] * len(extent)).expand(1, -1, *extent)
        env = {**weights, argument(node, 0): source}
        if bare is not None:
            env[bare] = torch.zeros_like(weights[bare])
        gain = evaluate(node, env).flatten()
        rows = keep.get(graph.names[argument(node, 1)], {}).get(0)
        found[node] = gain if rows is None else gain.index_select(0, rows.to(gain.device))
    return found
