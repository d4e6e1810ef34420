"""The brute-force oracle: E(g - e_u) - E(g). Every engine answers this question, and they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from secateur.errors import UnknownNameError
from secateur.gated import GatedLoss
from secateur.oracle.exact import exact
from secateur.oracle.reference import reference

Engine = Callable[[GatedLoss, Tensor, Tensor], Tensor]
"""(loss, gates, units) -> the change of error for each of these units"""

ENGINES: Mapping[str, Engine] = MappingProxyType({"exact": exact, "reference": reference})


def resolve(engine: str | Engine) -> Engine:
    """The engine of that name. Raises: UnknownNameError."""
    if callable(engine):
        return engine
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    return ENGINES[engine]
