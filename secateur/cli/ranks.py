"""Which of the processes of torchrun this is: the first writes and prints, the others compute and tell errors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

PARALLEL = ("prune", "score")
"""The commands that share their work among ranks."""


def rank() -> int:
    """0 for the first, or for a process that is alone."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def count() -> int:
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() else 1


def serves(tokens: Sequence[str]) -> bool:
    """Whether several ranks may be given this command line."""
    return count() == 1 or not tokens or tokens[0] in PARALLEL or tokens[0].startswith("-")


@contextlib.contextmanager
def first_prints() -> Iterator[None]:
    """Standard output is the first rank's."""
    if rank() == 0:
        yield
    else:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
