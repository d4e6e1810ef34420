"""Ways of doing one thing, timed in turns in one process."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from secateur.errors import OptionError


@dataclass(frozen=True)
class Seconds:
    """What one way took, each time.

    Units: seconds of wall time.

    >>> Seconds((3.0, 1.0, 2.0)).record()
    {'median': 2.0, 'least': 1.0, 'greatest': 3.0}
    """

    taken: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.taken)

    def times(self, factor: float) -> Seconds:
        """As long, `factor` times: an extrapolation."""
        return Seconds(tuple(value * factor for value in self.taken))

    def record(self) -> dict[str, float]:
        return {"median": self.median, "least": min(self.taken), "greatest": max(self.taken)}


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """Do everything once, then again, `rounds` times; so that a busy minute of the machine meets all alike.

    Raises: OptionError for no round.

    >>> list(interleaved({"nothing": lambda: None}, 3)["nothing"].record())
    ['median', 'least', 'greatest']
    """
    if rounds < 1:
        raise OptionError(f"got {rounds} rounds; expected 1 or more.")
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - start)
    return {name: Seconds(tuple(values)) for name, values in taken.items()}


def machine() -> dict[str, Any]:
    """What the numbers were measured with."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
    }
