"""Stops as text and as JSON."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from secateur.errors import OptionError, UnknownNameError
from secateur.stopping.constraints import certified_drop, error_rise, metric_drop
from secateur.stopping.face import Stop, all_of, any_of
from secateur.stopping.goals import bytes, flops, fraction, never, parameters, units

STOPS: dict[str, type[Stop]] = {
    "units": units,
    "fraction": fraction,
    "error_rise": error_rise,
    "metric_drop": metric_drop,
    "certified_drop": certified_drop,
    "parameters": parameters,
    "bytes": bytes,
    "flops": flops,
    "never": never,
}


def parse(text: str) -> Stop:
    """The stop that a line of text spells, as on the command line and in a TOML file; never evaluates it.

        stop := name(argument, ...) | stop "|" stop | stop "&" stop | (stop)

    Arguments are numbers, strings, or bare words for strings; & binds tighter than |.
    Raises: UnknownNameError for a name that is no stop, with the nearest; OptionError for anything else.

    >>> parse("metric_drop(accuracy, 0.01) | fraction(0.8)") == metric_drop("accuracy", 0.01) | fraction(0.8)
    True
    """
    if not isinstance(text, str):
        raise OptionError(f"a stop is spelt as text, such as 'fraction(0.8)'; got {text!r}.")
    try:
        return _stop(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            f"cannot read the stop {text[:200]!r}: {error}. Expected one such as "
            "'metric_drop(accuracy, 0.01) | fraction(0.8)'."
        ) from error


def from_dict(record: Mapping[str, Any]) -> Stop:
    """The stop that `Stop.to_dict` wrote.

        from_dict(stop.to_dict()) == stop

    Raises: UnknownNameError for a name that is no stop; OptionError for a record of another shape.

    >>> from_dict({"stop": "fraction", "f": 0.8})
    fraction(f=0.8)
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("stop"), str):
        raise OptionError(f"a stop is recorded as {{'stop': name, ...}}; got {record!r}.")
    arguments = {key: value for key, value in record.items() if key != "stop"}
    if record["stop"] in ("any_of", "all_of"):
        stops = arguments.get("stops")
        if not isinstance(stops, list) or len(stops) < 2 or len(arguments) > 1:
            raise OptionError(f"{record['stop']} is recorded with a list 'stops' of two or more; got {record!r}.")
        return (any_of if record["stop"] == "any_of" else all_of)(tuple(from_dict(stop) for stop in stops))
    return _build(record["stop"], (), arguments)


def _stop(node: ast.expr) -> Stop:
    match node:
        case ast.BinOp(left, ast.BitOr(), right):
            return _stop(left) | _stop(right)
        case ast.BinOp(left, ast.BitAnd(), right):
            return _stop(left) & _stop(right)
        case ast.Call(ast.Name(name), arguments, keywords) if all(word.arg for word in keywords):
            named = {word.arg or "": _argument(word.value) for word in keywords}
            if len(named) < len(keywords):
                raise OptionError(f"{ast.unparse(node)!r} gives an argument twice; expected each once.")
            return _build(name, tuple(_argument(argument) for argument in arguments), named)
    raise OptionError(f"{ast.unparse(node)!r} is no stop; expected a name with arguments, such as fraction(0.8).")


def _argument(node: ast.expr) -> float | str:
    match node:
        case ast.Name(word):
            return word
        case ast.Constant(value) if isinstance(value, int | float | str) and not isinstance(value, bool):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(value)) if isinstance(value, int | float):
            return -value
    raise OptionError(f"{ast.unparse(node)!r} is no argument of a stop; expected a number or a word.")


def _build(name: str, positional: tuple[Any, ...], named: Mapping[str, Any]) -> Stop:
    if name not in STOPS:
        raise UnknownNameError("stop", name, STOPS)
    try:
        return STOPS[name](*positional, **named)
    except TypeError as error:
        wanted = str(inspect.signature(STOPS[name])).removesuffix(" -> None")
        raise OptionError(f"the arguments of {name} do not fit: {error}. Expected {name}{wanted}.") from error
