"""The numbers that stops are given: what they may be, and how exactly they are met."""

from __future__ import annotations

import math
import numbers

from secateur.errors import OptionError
from secateur.stopping.face import Stop

SLACK = 1e-12
"""Floating-point sums of per-example terms may end a rounding error beyond a limit that they meet exactly."""


def number(stop: Stop, name: str) -> float:
    value = getattr(stop, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise OptionError(f"{type(stop).__name__} got {name}={value!r}; expected a finite number.")
    object.__setattr__(stop, name, float(value))  # a NumPy scalar is no JSON
    return float(value)


def limit(stop: Stop, name: str) -> None:
    if number(stop, name) < 0:
        raise OptionError(f"{type(stop).__name__} got {name}={getattr(stop, name)!r}; expected 0 or more.")


def whole(stop: Stop, name: str) -> None:
    value = number(stop, name)
    if value < 0 or value != int(value):
        raise OptionError(f"{type(stop).__name__} got {name}={value!r}; expected a whole number, 0 or more.")
    object.__setattr__(stop, name, int(value))  # 1e6 from a command line is a whole number too
