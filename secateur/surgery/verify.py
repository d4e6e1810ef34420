"""The proof of a cut: the smaller network answers as the gated one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secateur.errors import CutMismatch, NonFiniteError
from secateur.gated import OUTPUT_TOLERANCES, GatedNetwork, answer, exactly
from secateur.types import Unit
from secateur.units import Graph, discover

Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]


def verify(small: nn.Module, model: nn.Module, units: Iterable[Unit | str | int], x: Inputs) -> float:
    """Compare the outputs of a cut network with those of the whole one whose units are gated off.

        max |small(x) - model(x; g)| / max |model(x; g)|  <=  1e-12 in float64, 1e-5 in float32

    Shape:
        x: a batch for the network, a tuple of tensors, or a dict of keyword arguments.
    Units:
        returns the difference relative to the largest output.
    Raises:
        CutMismatch: the difference is larger, or the shapes differ. UnitError: no such unit.
    Source:
        docs/design.md: gate 0 == cut.

    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1)).eval()
    >>> from secateur.surgery import cut
    >>> x = torch.ones(2, 2)
    >>> verify(cut(model, ["0:1"], x), model, ["0:1"], x) <= 1e-5
    True
    >>> _ = torch.nn.init.ones_(model[0].weight), torch.nn.init.ones_(model[2].weight)
    >>> verify(model, model, ["0:0"], x)
    Traceback (most recent call last):
    secateur.errors.CutMismatch: ...
    """
    network = network_for(model, x)
    gates = torch.ones(len(network.units), dtype=torch.float64)
    gates[network.units.positions(units)] = 0.0
    return compare(small, network, gates, x)


def compare(small: nn.Module, network: GatedNetwork, gates: Tensor, x: Inputs) -> float:
    """The relative difference of the outputs. Raises: CutMismatch where it is too large."""
    args, kwargs = as_arguments(x)
    flags = {module: module.training for module in small.modules()}
    small.eval()
    try:
        with torch.no_grad(), exactly():
            device = next((value.device for value in (*args, *kwargs.values())), torch.device("cpu"))
            inputs = [*args, *(kwargs[key] for key in network.graph.keywords)]
            expected = answer(network(inputs, gates.to(device)))
            whole = answer(network(inputs, torch.ones_like(gates, device=device)))
            try:
                got = answer(small(*args, **kwargs))
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise CutMismatch(f"the cut network does not run: {error}") from error
    finally:
        for module, training in flags.items():
            module.training = training
    if got.shape != expected.shape:
        raise CutMismatch(
            f"the cut network answers with shape {tuple(got.shape)}, the gated one {tuple(expected.shape)}"
        )
    if not bool(expected.isfinite().all()):
        raise NonFiniteError(
            "the gated network answers with NaN or infinity, so the cut can't be compared; use other inputs"
        )
    # Where the gated answer is zero throughout, the whole network tells the scale.
    scale = max(float(expected.abs().max()), float(whole.abs().max()), torch.finfo(expected.dtype).tiny)
    difference = float((got - expected).abs().max()) / scale
    allowed = OUTPUT_TOLERANCES.get(expected.dtype, 1e-2)
    if not difference <= allowed:  # also catches NaN
        raise CutMismatch(
            f"the cut network's outputs differ from the gated one's by {difference:.3g} of the largest; allowed "
            f"{allowed:g}"
        )
    return difference


def network_for(model: nn.Module, x: Inputs, off: str = "zero") -> GatedNetwork:
    """The gated network of a module in any mode: a copy in evaluation mode is captured, the module is left alone."""
    if any(module.training for module in model.modules()):
        model = copy.deepcopy(model).eval()
    args, kwargs = as_arguments(x)
    graph = Graph.trace(model, args, kwargs)
    return GatedNetwork(graph, discover(graph, off))


def as_arguments(x: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    if isinstance(x, Tensor):
        return (x,), {}
    if isinstance(x, Mapping):
        return (), dict(x)
    return tuple(x), {}
