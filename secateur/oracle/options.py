"""Checks of the numbers that engines are given."""

from __future__ import annotations

from typing import Any

from secateur.errors import OptionError


def require_whole(engine: Any, name: str, meaning: str) -> None:
    value = getattr(engine, name)
    if type(value) is not int or value < 1:
        raise OptionError(f"{name}={value!r}; expected {meaning}, 1 or more")


def require_share(engine: Any, name: str, meaning: str) -> None:
    value = getattr(engine, name)
    if not 0 <= value <= 1:
        raise OptionError(f"{name}={value!r}; expected the share of {meaning}, 0 to 1")
