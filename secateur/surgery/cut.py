"""Physical removal of chosen units, proved right before it is handed back."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from secateur.errors import CutMismatch, UnitError
from secateur.gated import GatedNetwork
from secateur.surgery.graph import cut_graph
from secateur.surgery.module import cut_module
from secateur.surgery.plan import plan_cut
from secateur.surgery.verify import Inputs, compare, network_for
from secateur.types import Unit


class CutWarning(UserWarning):
    """The user's own module could not be cut, and the captured graph stands in for it."""


def cut(model: nn.Module, units: Iterable[Unit | str | int], example_inputs: Inputs) -> nn.Module:
    """A smaller copy of the network without these units; it answers as the network with their gates at 0.

        cut(model, units)(x) == model(x; g),   g_u = 0 for u in units, 1 elsewhere

    The copy is of your own class, with sliced parameters and mended attributes (`out_features`, `groups` ...); where
    the class's code holds numbers that no attribute tells (`x.view(-1, 800)`), the captured graph is handed back, with
    a CutWarning. The network itself is left alone; it may be in either mode, and so is the copy.

    Shape:
        example_inputs: a batch for the network, a tuple of tensors, or a dict of keyword arguments.
    Units:
        units by name ("fc1:17"), as Unit, or by position.
    Raises:
        UnitError: no such unit, one given twice, or all of a site. RefusedUnitError: it can't be removed exactly.
        CutMismatch: the result does not answer as the gated network.
    Source:
        docs/design.md, decisions 1, 5 and 6.

    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> cut(model, ["0:0", "0:2"], torch.ones(1, 2))
    Sequential(
      (0): Linear(in_features=2, out_features=1, bias=True)
      (1): ReLU()
      (2): Linear(in_features=1, out_features=1, bias=True)
    )
    """
    network = network_for(model, example_inputs)
    small = cut_network(network, network.units.positions(units), example_inputs)
    return _restore_modes(small, model)


def cut_network(network: GatedNetwork, units: list[int], x: Inputs) -> nn.Module:
    """The user's module without the units (positions), or the graph where that can't be had; verified on x.

    Raises: UnitError, CutMismatch.
    """
    plan = plan_cut(network, units)
    gates = torch.ones(len(network.units), dtype=torch.float64)
    gates[units] = 0.0
    try:
        small = cut_module(network, plan)
        compare(small, network, gates, x)
        _compare_awake(network, units, gates, x)
    except (CutMismatch, UnitError) as error:
        name = type(network.graph.model).__name__
        warnings.warn(
            f"{name} can't be cut as it is ({error}), probably because its code holds sizes as numbers; "
            "the captured graph of the same network is cut instead",
            CutWarning,
            stacklevel=3,
        )
        small = cut_graph(network, plan)
        compare(small, network, gates, x)
    return small


def _compare_awake(network: GatedNetwork, units: list[int], gates: Tensor, x: Inputs) -> None:
    """Where parameters that are zero throughout (a last layer that starts at 0) would let any cut pass, prove the
    same cut on a twin that has small random numbers there.

    Raises: CutMismatch.
    """
    asleep = [p for p in network.graph.model.parameters() if p.dim() > 1 and p.numel() and not bool(p.any())]
    if not asleep or network.off == "mean":  # the twin would have other means
        return
    twin = copy.deepcopy(network.graph.model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.dim() > 1 and not bool(parameter.any()):
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    awake = GatedNetwork(replace(network.graph, model=twin), network.units)
    compare(cut_module(awake, plan_cut(awake, units)), awake, gates, x)


def _restore_modes(small: nn.Module, model: nn.Module) -> nn.Module:
    """The training flags of the user's network, module by module."""
    flags = {name: module.training for name, module in model.named_modules()}
    for name, module in small.named_modules():
        module.training = flags.get(name, model.training)
    return small
