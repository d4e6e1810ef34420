"""The brute-force oracle: E(g - e_u) - E(g). Every engine answers this question, and they agree where they measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from secateur.errors import UnknownNameError
from secateur.oracle.engine import Engine, PartialEngine
from secateur.oracle.exact import exact
from secateur.oracle.lazy import Lazy
from secateur.oracle.racing import Racing
from secateur.oracle.reference import reference

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {"exact": exact, "reference": reference, "racing": Racing(), "lazy": Lazy()}
)


def resolve(engine: str | Engine, seed: int | None = None) -> Engine:
    """The engine of that name, with this seed where it draws; an engine is handed back as it is.

    Raises: UnknownNameError.
    """
    if callable(engine):
        return engine
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    found: Any = ENGINES[engine]
    return replace(found, seed=seed) if seed is not None and hasattr(found, "seed") else found


def begin(engine: str | Engine, seed: int | None = None) -> Engine | PartialEngine:
    """The engine for the rounds of one run: one that remembers is a fresh one each time.

    Raises: UnknownNameError.
    """
    found: Any = resolve(engine, seed)
    return found.begin() if hasattr(found, "begin") else found
