"""Softplus standing in for ReLU while a network is scored."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.fx import Node

from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.units import Graph
from secateur.units.graph import Env, Replace, argument, operator_name

RELU = "aten.relu.default"


@dataclass(frozen=True)
class Surrogate:
    """Another criterion's scores of the network with a softplus in the place of every ReLU.

        relu(x) = max(0, x)   becomes   softplus(x) = 1/b log(1 + exp(b x)),   b the sharpness

    The paper says that second order will not work for ReLU, whose second derivative is 0 almost everywhere, unless
    softplus stands in. Only the scores see it: what is removed is removed from the network as it is. A network without
    ReLU is scored as it is.

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        those of the criterion; the sharpness is one over those of a pre-activation.
    Raises:
        OptionError: a sharpness that is not positive; the oracle as the criterion. What the criterion raises.
    Source:
        The paper (arXiv 1701.04465) and its authors' answer to reviewers; C. Dugas et al., 2001 (softplus).

    >>> from secateur.criteria.taylor1 import taylor1
    >>> layers = torch.nn.Linear(1, 1, bias=False), torch.nn.ReLU(), torch.nn.Linear(1, 1, bias=False)
    >>> model = torch.nn.Sequential(*layers).eval()
    >>> for layer in model[::2]:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.zeros(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> Surrogate(taylor1, sharpness=1.0)(loss, torch.tensor([0]))  # E = 1/2 (g log 2)^2 in place of 0
    tensor([-0.4805], dtype=torch.float64)
    """

    criterion: Callable[[GatedLoss, Tensor], Tensor]
    sharpness: float = 10.0
    estimates_error = True

    def __post_init__(self) -> None:
        if not (self.sharpness > 0 and math.isfinite(self.sharpness)):
            raise OptionError(f"got sharpness={self.sharpness!r}; expected a positive number, such as 10")
        if hasattr(self.criterion, "using"):
            raise OptionError(
                "the oracle measures and needs no stand-in; wrap a criterion of derivatives, such as taylor2"
            )

    def __call__(self, loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
        graph, smooth = loss.network.graph, copy.copy(loss.network)
        smooth.graph = _Smooth(**{spec.name: getattr(graph, spec.name) for spec in fields(graph)}, b=self.sharpness)
        return self.criterion(loss.through(smooth), alive)


@dataclass(frozen=True)
class _Smooth(Graph):
    """The same graph, run with a softplus for every ReLU."""

    b: float = 1.0

    def run(
        self,
        env: Env,
        nodes: Iterable[Node] | None = None,
        replace: Replace | None = None,
        keep: Collection[Node] | None = None,
    ) -> Env:
        def smooth(node: Node, env: Env) -> Any:
            if operator_name(node) == RELU:
                return torch.nn.functional.softplus(env[argument(node, 0)], beta=self.b)
            return replace(node, env) if replace else None

        return super().run(env, nodes, smooth, keep)
