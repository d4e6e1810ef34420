"""How many threads torch uses, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from secateur.errors import OptionError


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """That many threads for torch inside, then as many as before; None leaves them as they are.

    Raises: OptionError for less than one.

    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    """
    if count is not None and count < 1:
        raise OptionError(f"got {count} threads; expected 1 or more.")
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
