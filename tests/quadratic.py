"""A loss that is worked out by hand, for tests of the loop: quadratic in what is off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from secateur.types import Site, Unit


class Units:
    """Sites of the given sizes, fc0, fc1 ..., in order of execution."""

    def __init__(self, *sizes: int) -> None:
        self._units = [Unit(f"fc{site}", index, "neuron") for site, size in enumerate(sizes) for index in range(size)]
        starts = [sum(sizes[:site]) for site in range(len(sizes))]
        self.sites = tuple(
            Site(f"fc{site}", "neuron", tuple(range(start, start + size)), (f"fc{site}",), (f"fc{site + 1}",))
            for site, (start, size) in enumerate(zip(starts, sizes, strict=True))
        )

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._units)


class Quadratic:
    """E(g) = start + sum of cost_u over what is off + sum of pair_uv over pairs that are off."""

    def __init__(
        self,
        cost: Sequence[float],
        pair: Mapping[tuple[int, int], float] | None = None,
        sites: Sequence[int] = (),
        start: float = 10.0,
        tolerance: float = 1e-12,
    ) -> None:
        self.units = Units(*(sites or (len(cost),)))
        self.tolerance = tolerance
        self.start = start
        self.cost = torch.tensor(cost, dtype=torch.float64)
        self.pair = torch.zeros(len(cost), len(cost), dtype=torch.float64)
        for (first, second), value in (pair or {}).items():
            self.pair[first, second] = value

    @classmethod
    def random(cls, sites: Sequence[int], seed: int) -> Quadratic:
        numbers, count = torch.Generator().manual_seed(seed), sum(sites)
        loss = cls(torch.rand(count, generator=numbers).tolist(), sites=sites, start=100.0)
        loss.pair = torch.randn(count, count, generator=numbers, dtype=torch.float64).triu(1)
        return loss

    def __call__(self, gates: Tensor) -> Tensor:
        off = 1 - gates
        return self.start + off @ self.cost + off @ self.pair @ off


def oracle(loss: Any, alive: Tensor) -> Tensor:
    """E(g - e_u) - E(g), one by one."""
    gates = torch.zeros(len(loss.units), dtype=torch.float64)
    gates[alive] = 1.0
    return torch.stack([loss(gates.index_fill(0, unit, 0.0)) - loss(gates) for unit in alive])


oracle.estimates_error = True  # pyright: ignore[reportFunctionMemberAccess]


class Moody:
    """A criterion that keeps something: its scores depend on how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, loss: Any, alive: Tensor) -> Tensor:
        self.asked += 1
        return ((alive + 3) * (self.asked + 7) * 7919 % 101).to(torch.float64)

    def state(self) -> dict[str, Any]:
        return {"asked": self.asked}

    def restore(self, state: dict[str, Any]) -> None:
        self.asked = state["asked"]
