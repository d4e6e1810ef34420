"""What an engine is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from secateur.gated import GatedLoss


class Engine(Protocol):
    """`(loss, gates, units) -> scores`: E(g - e_u) - E(g) for each of these units, all of them measured."""

    def __call__(self, loss: GatedLoss, gates: Tensor, units: Tensor, /) -> Tensor: ...


@runtime_checkable
class PartialEngine(Protocol):
    """An engine for the rounds of one run: it measures what it must to tell the lowest score, and remembers.

    Called with the units that may be removed it leaves NaN where it did not measure; called without them, it measures
    every unit and remembers nothing of it. `state` and `restore` carry its memory, JSON-able, over to a resumed run;
    `report` tells what it has cost and how sure its choices were. Options that have `begin() -> PartialEngine`, such as
    Lazy and Racing, give a fresh one to each run.
    """

    partial: bool

    def __call__(
        self, loss: GatedLoss, gates: Tensor, units: Tensor, candidates: Tensor | None = None, /
    ) -> Tensor: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any], /) -> None: ...
    def report(self) -> dict[str, Any]: ...
