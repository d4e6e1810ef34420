"""Passes of the user's own module over all examples, in batches of the size that is fastest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from secateur.errors import OptionError
from secateur.gated import GatedLoss, Tile
from secateur.gated.answers import answer

Choice = TypeVar("Choice")
SMALLEST = 64


def batches(loss: GatedLoss, size: int) -> list[Tile]:
    """All examples with their prepared targets, `size` at a time; views, not copies.

    Raises: OptionError for a loss of the user's own, whose batches only it can read.
    """
    if not loss.maps:
        raise OptionError("peers need a loss with a name, such as 'cross_entropy'; got a function.")
    tiles = list(loss.tiles())
    inputs = [torch.cat(parts) for parts in zip(*(tile.inputs for tile in tiles), strict=True)]
    target = torch.cat([tile.target for tile in tiles])
    count = len(loss.examples)
    ends = ((start, min(start + size, count)) for start in range(0, count, size))
    return [Tile(a, b, tuple(x[a:b] for x in inputs), target[a:b]) for a, b in ends]


def sizes(loss: GatedLoss) -> list[int]:
    """Batch sizes to try: 64, 128, ... and all examples.

    64 2^k below N, and N
    """
    count = len(loss.examples)
    return [SMALLEST << k for k in range(max(0, math.ceil(math.log2(count / SMALLEST))))] + [count]


def call(loss: GatedLoss, inputs: Sequence[Tensor]) -> Tensor:
    """What the user's own module answers, as it would be called."""
    names = loss.examples.keywords
    output: Any = loss.model(**dict(zip(names, inputs, strict=True))) if names else loss.model(*inputs)
    return answer(output)


def error(loss: GatedLoss, tiles: Iterable[Tile]) -> Tensor:
    """E of the user's own module as it stands: the loss summed over the examples, in float64.

    Shape: scalar float64.
    """
    total = torch.zeros((), dtype=torch.float64, device=loss.device)
    for tile in tiles:
        total += loss.losses(call(loss, tile.inputs), tile).sum()
    return total


def fastest(choices: Sequence[Choice], run: Callable[[Choice], object], tries: int = 2) -> Choice:
    """The choice that takes the least time, each having been run once to warm up.

    argmin over choices of the least of `tries` times

    >>> import time
    >>> fastest([0.02, 0.0, 0.01], time.sleep)
    0.0
    """
    best: dict[int, float] = {}
    for at, choice in enumerate(choices):
        run(choice)
        for _ in range(tries):
            start = time.perf_counter()
            run(choice)
            best[at] = min(best.get(at, math.inf), time.perf_counter() - start)
    return choices[min(best, key=best.__getitem__)]
