"""The best subset: the true optimum of pruning at every size, by measuring all 2^n sets of units."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur import criteria, stopping
from secateur.analysis.joint import joint_errors
from secateur.errors import OptionError, UnitError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.ranking import lowest
from secateur.trace import Trace
from secateur.types import Unit

MOST_UNITS = 24
"""2^24 errors take 128 MiB; each unit more doubles them, and the time."""


@dataclass(frozen=True, eq=False)
class BestSubset:
    """The error under every set of removals from `units`: `errors[code]`, where bit i of the code tells that unit i is
    off.

        optimum[m] = min {errors[code]: code has m bits}

    Shape:
        n units: errors (2^n,); optimum, greedy() and swapped() (n + 1,), one for each number of removals.
    Units:
        error, summed over examples; lower is better.
    Source:
        PAPER.md, claim 12: serial order need not be optimal.

    >>> unit = [Unit("fc", i, "neuron") for i in range(2)]
    >>> best = BestSubset(tuple(unit), torch.tensor([0.0, 3.0, 2.0, 2.5]).double())
    >>> best.optimum.tolist(), [u.name for u in best.off(1)]
    ([0.0, 2.0, 2.5], ['fc:1'])
    """

    units: tuple[Unit, ...]
    errors: Float64[Tensor, " sets"]
    tolerance: float = 0.0
    """Relative: errors of one choice that agree with the least are tied, and the earliest unit goes."""

    @cached_property
    def codes(self) -> Int64[Tensor, " sizes"]:
        """The best set of each size; of equals the one with the lowest code."""
        sizes = _sizes(len(self.units))
        every = torch.arange(len(self.errors))
        of_size = [every[sizes == size] for size in range(len(self.units) + 1)]
        return torch.stack([codes[self.errors[codes].argmin()] for codes in of_size])

    @property
    def optimum(self) -> Float64[Tensor, " sizes"]:
        """The least error with 0, 1, ..., n of the units off."""
        return self.errors[self.codes]

    def off(self, removed: int) -> tuple[Unit, ...]:
        """The units whose removal is the best of that size."""
        return self._members(int(self.codes[removed]))

    def error(self, off: Iterable[Unit | str]) -> float:
        """The error with these of the units off. Raises: UnitError for any other unit."""
        return float(self.errors[self._code(off)])

    def greedy(self) -> Float64[Tensor, " sizes"]:
        """The errors along greedy removal, what the oracle does: each time the unit that costs least."""
        path = [0]
        for _ in self.units:
            path.append(self._lowest(self._more(path[-1]), path[-1]))
        return self.errors[torch.tensor(path)]

    def swapped(self) -> Float64[Tensor, " sizes"]:
        """The errors of greedy removal with swaps: after each removal a unit that is off changes places with one that
        is on, the best such pair first, while that lowers the error; the next removal starts from there."""
        path = [0]
        for _ in self.units:
            code, better = self._lowest(self._more(path[-1]), path[-1]), True
            while better:
                best = self._lowest([more for less in self._fewer(code) for more in self._more(less)], code)
                better = bool(self.errors[best] < self.errors[code])
                code = best if better else code
            path.append(code)
        return self.errors[torch.tensor(path)]

    def gap(self, trace: Trace | Iterable[Unit | str]) -> Float64[Tensor, " steps"]:
        """How far a run is from the optimum after 0, 1, 2, ... removals, by the errors of the table.

            gap[m] = errors[the first m removals] - optimum[m]

        Shape: a trace, or the units in their order of removal, m of them -> (m + 1,).
        Raises: UnitError where the run removes a unit that is not among `units`.
        """
        removed = list(trace.removed if isinstance(trace, Trace) else trace)
        path = torch.tensor([self._code(removed[:step]) for step in range(len(removed) + 1)])
        return self.errors[path] - self.optimum[: len(path)]

    def share_better(self, off: Iterable[Unit | str]) -> float:
        """Of all sets of the same size, the share that has a lower error: 0 for the optimum."""
        code = self._code(off)
        peers = self.errors[_sizes(len(self.units)) == code.bit_count()]
        return float((peers < self.errors[code]).double().mean())

    def _code(self, off: Iterable[Unit | str]) -> int:
        place = {unit.name: at for at, unit in enumerate(self.units)}
        names = [unit.name if isinstance(unit, Unit) else unit for unit in off]
        strange = [name for name in names if name not in place]
        if strange:
            raise UnitError(f"{strange[0]!r} is not among the {len(place)} units whose subsets were measured")
        return sum(1 << place[name] for name in set(names))

    def _members(self, code: int) -> tuple[Unit, ...]:
        return tuple(unit for at, unit in enumerate(self.units) if code >> at & 1)

    def _more(self, code: int) -> list[int]:
        return [code | 1 << at for at in range(len(self.units)) if not code >> at & 1]

    def _fewer(self, code: int) -> list[int]:
        return [code ^ 1 << at for at in range(len(self.units)) if code >> at & 1]

    def _lowest(self, codes: list[int], now: int) -> int:
        error = float(self.errors[now])
        return codes[lowest(self.errors[torch.tensor(codes)] - error, error, self.tolerance)]


def best_subset(loss: GatedLoss, units: Iterable[Unit | str | int] | None = None) -> BestSubset:
    """Measure all 2^n sets of removals from these units, the others staying on: the true optimum at every size.

        errors[code] = E(1 - sum of e_u over the units u of the code)

    What the deepest units give to their reader is subtracted for all their subsets by one matrix product; the rest of
    the network runs once for each subset of the units above. 2^20 sets of the paper's cos-small take some ten seconds
    on one core. The empty set of a site is measured too, though pruning leaves one unit in each unless told otherwise.

    Shape:
        n units (all by default), at most 24 -> 2^n errors.
    Units:
        error, summed over examples.
    Raises:
        UnitError: no such unit, or one given twice. OptionError: more than 24 units.
    Source:
        PAPER.md, claim 12.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> best_subset(loss).optimum
    tensor([2.0000, 0.5000, 0.0000], dtype=torch.float64)
    """
    chosen = loss.units.positions(range(len(loss.units)) if units is None else units)
    if not 1 <= len(chosen) <= MOST_UNITS:
        raise OptionError(
            f"best_subset got {len(chosen)} units, which have 2^{len(chosen)} subsets; expected 1 to {MOST_UNITS}: "
            "pass some of them in `units`."
        )
    off = torch.zeros(1 << len(chosen), len(chosen), dtype=torch.bool)
    codes = torch.arange(len(off))
    for at in range(len(chosen)):
        off[:, at] = (codes >> at & 1).bool()
    errors = joint_errors(loss, off, chosen).cpu()
    return BestSubset(tuple(loss.units[at] for at in chosen), errors, loss.tolerance)


def removal_order(
    loss: GatedLoss, criterion: str | criteria.Criterion, units: Iterable[Unit | str | int] | None = None
) -> Trace:
    """Greedy removal of these units alone by a criterion, ranked again after each removal, until none of them is on.

    The paper's Algorithm II, to be compared with the optimum: `best.gap(removal_order(loss, "taylor2", best.units))`.

    Shape:
        n units (all by default) -> a trace of n + 1 steps.
    Units:
        error, summed over examples.
    Raises:
        UnitError: no such unit. UnknownNameError: no criterion of that name.
    Source:
        The paper (arXiv 1701.04465), Algorithm II.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> best_subset(loss).gap(removal_order(loss, "oracle"))
    tensor([0., 0., 0.], dtype=torch.float64)
    """
    chosen = loss.units.positions(range(len(loss.units)) if units is None else units)
    among = Among(criteria.resolve(criterion), frozenset(chosen))
    return remove_units(loss, among, stopping.units(len(chosen)), min_units_per_site=0)


@dataclass(frozen=True)
class Among:
    """A criterion that ranks some units alone: the scores of the others are NaN, which is never chosen."""

    criterion: Any
    units: frozenset[int]

    @property
    def estimates_error(self) -> bool:
        return getattr(self.criterion, "estimates_error", False)

    def __call__(self, loss: GatedLoss, alive: Tensor) -> Tensor:
        inside = torch.tensor([unit in self.units for unit in alive.tolist()], device=alive.device)
        return torch.where(inside, self.criterion(loss, alive), math.nan)


def _sizes(count: int) -> Tensor:
    """How many bits each code has."""
    sizes = torch.zeros(1, dtype=torch.int64)
    for _ in range(count):
        sizes = torch.cat((sizes, sizes + 1))
    return sizes
