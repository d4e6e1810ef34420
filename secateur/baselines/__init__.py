"""Compared systems: what others would run to score every unit, each at its best, on the user's own module.

    plain.py      one forward of everything for each unit
    captum.py     Captum's LayerFeatureAblation (needs captum: the extra `peers`)
    gradient.py   one forward and backward pass: what a first-order score costs
    places.py     where the user's own module reads units
    passes.py     the examples in batches of any size, and the size that is fastest

A peer is made for a loss, finds its best settings, and is then called with units (positions): it gives their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from torch import Tensor

from secateur.baselines.captum import CaptumAblation
from secateur.baselines.gradient import GradientPass
from secateur.baselines.plain import PlainLoop
from secateur.errors import UnknownNameError
from secateur.gated import GatedLoss


class Peer(Protocol):
    """What a benchmark asks of a compared system.

    `settings` tells what was found best; `forwards(units)` how many passes over all examples a call with these units
    makes, so that the time of a sample can be extrapolated; `samples` whether fewer units mean fewer passes; `note`
    what has to be said beside its numbers.
    """

    samples: bool

    @property
    def note(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    def __call__(self, units: Tensor, /) -> Tensor: ...
    def forwards(self, units: Tensor, /) -> int: ...


PEERS: Mapping[str, Callable[[GatedLoss], Peer]] = MappingProxyType(
    {"plain": PlainLoop, "captum": CaptumAblation, "gradient": GradientPass}
)


def resolve(peer: str) -> Callable[[GatedLoss], Peer]:
    """The peer of that name, to be made for a loss.

    Raises: UnknownNameError.

    >>> resolve("plain") is PlainLoop
    True
    """
    if peer not in PEERS:
        raise UnknownNameError("peer", peer, PEERS)
    return PEERS[peer]


__all__ = ["PEERS", "CaptumAblation", "GradientPass", "Peer", "PlainLoop", "resolve"]
