"""Tables, numbers and JSON on standard output; lines on standard error."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from secateur.cli import ranks
from secateur.errors import SecateurError

# How a message that speaks Python is said on the command line.
SPELLINGS = {"resume=True": "--resume", "validation=": "--validation", "rerank_every=": "--rerank-every "}


def line(text: str) -> None:
    """One line on standard error, with the program's name in front, and of several ranks which it is."""
    who = f"rank {ranks.rank()}: " if ranks.count() > 1 else ""
    with contextlib.suppress(OSError):
        print(f"secateur: {who}{' '.join(text.split())}", file=sys.stderr, flush=True)


def told(error: Exception) -> str:
    """An error in a line. What secateur raises speaks for itself; of others the kind is told too."""
    if isinstance(error, SecateurError):
        return in_options(str(error))
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error} (--debug shows where.)"


def in_options(text: str) -> str:
    """A message with the options of the command line for those of Python.

    >>> in_options("Pass resume=True to go on with it.")
    'Pass --resume to go on with it.'
    """
    for python, option in SPELLINGS.items():
        text = text.replace(python, option)
    return text


@contextlib.contextmanager
def results_only() -> Iterator[None]:
    """What a user's factory prints goes to standard error: standard output is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def status(wanted: bool) -> Iterator[Callable[[str], object]]:
    """What is being done, on standard error, where that is a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda words: None
        return
    with Console(stderr=True).status("") as shown:
        yield lambda words: shown.update(Text(words))


def document(record: Mapping[str, Any]) -> None:
    """One strict JSON document on standard output: null for NaN, and for infinity a string."""
    print(json.dumps(strict(record), indent=2, allow_nan=False, ensure_ascii=False))


def strict(value: Any) -> Any:
    """The value with every float that JSON lacks made null, "Infinity" or "-Infinity".

    >>> strict({"score": [1.0, float("nan"), float("-inf")]})
    {'score': [1.0, None, '-Infinity']}
    """
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def text(words: str = "") -> None:
    """A line of plain text on standard output."""
    _console().print(Text(words), soft_wrap=True)


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", left: int = 1, sections: Sequence[int] = ()
) -> None:
    """A table on standard output: the first `left` columns are words, the others numbers; a rule after each row whose
    number is in `sections`."""
    if title:
        text(title)
    made = Table(box=_box(), pad_edge=False)
    for at, heading in enumerate(headings):
        made.add_column(heading, justify="left" if at < left else "right", no_wrap=at >= left)
    for at, row in enumerate(rows):
        made.add_row(*(Text(cell) for cell in row), end_section=at in sections)
    _console().print(made)


def number(value: float | None) -> str:
    """A measured value, to five digits.

    >>> number(0.9912345), number(1234567), number(None), number(-2.5e-9)
    ('0.99123', '1,234,567', 'n/a', '-2.5e-09')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    if isinstance(value, int) or abs(value) >= 1e5:
        return f"{value:,.0f}"
    return f"{value:.5g}"


def _console() -> Console:
    """Made anew each time: standard output may be another one by now."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def _box() -> Any:
    from rich.box import SIMPLE_HEAD

    return SIMPLE_HEAD
