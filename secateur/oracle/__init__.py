"""The brute-force oracle: E(g - e_u) - E(g). Every engine answers this question, and they agree where they measure."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from secateur.errors import OptionError, UnknownNameError
from secateur.oracle.engine import Engine, PartialEngine
from secateur.oracle.exact import exact
from secateur.oracle.lazy import Lazy
from secateur.oracle.racing import Racing
from secateur.oracle.reference import reference

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {"exact": exact, "reference": reference, "racing": Racing(), "lazy": Lazy()}
)


def resolve(engine: str | Engine, seed: int | None = None) -> Engine:
    """The engine of that name, with this seed where it draws; an engine is handed back as it is. Options may follow the
    name: "lazy(fresh=5, audit=0.1)".

    Raises: UnknownNameError; OptionError for options that the engine does not have.
    """
    if callable(engine):
        return engine
    name, options = _read(engine)
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    found: Any = ENGINES[name]
    if options:
        known = list(getattr(found, "__dataclass_fields__", ()))
        if unknown := sorted(set(options) - set(known)):
            raise OptionError(f"engine {name!r} has no option {unknown[0]!r}; it has {', '.join(known) or 'none'}")
        found = replace(found, **options)
    seeded = seed is not None and hasattr(found, "seed") and "seed" not in options
    return replace(found, seed=seed) if seeded else found


def _read(text: str) -> tuple[str, dict[str, Any]]:
    """A name, and the options behind it: "lazy(fresh=3)". Raises: OptionError."""
    name, bracket, _ = text.partition("(")
    if not bracket:
        return name, {}
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise ValueError
        return call.func.id, {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    except (SyntaxError, ValueError):
        raise OptionError(
            f"engine {text!r} can't be read; expected a name, or such as lazy(fresh=5, audit=0.1)"
        ) from None


def begin(engine: str | Engine, seed: int | None = None) -> Engine | PartialEngine:
    """The engine for the rounds of one run: one that remembers is a fresh one each time.

    Raises: UnknownNameError.
    """
    found: Any = resolve(engine, seed)
    return found.begin() if hasattr(found, "begin") else found
