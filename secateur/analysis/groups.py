"""Groups of units that stand in for each other, or cancel each other: the search for witnesses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from secateur.analysis.joint import joint_errors
from secateur.gated import GatedLoss

Group = tuple[int, ...]
"""Positions of units, ascending."""


@dataclass(frozen=True)
class Limits:
    """What counts as nothing (e), what as much (10 e), and how far to search."""

    small: float
    large: float
    most_partners: int
    most_members: int
    shortlist: int


@dataclass(frozen=True)
class Costs:
    """E(1 - R) - E(1) for sets R of units, measured many at a time, and remembered."""

    loss: GatedLoss
    known: dict[Group, float] = field(default_factory=lambda: {(): 0.0})

    def measure(self, groups: Iterable[Group]) -> None:
        """Measure those that are not known."""
        new = sorted({group for group in groups if group not in self.known})
        for start in range(0, len(new), 1 << 18):
            part = new[start : start + (1 << 18)]
            sizes = torch.tensor([len(group) for group in part])
            off = torch.zeros(len(part) + 1, len(self.loss.units), dtype=torch.bool)  # the last: all units on
            members = torch.tensor([unit for group in part for unit in group])
            off[torch.arange(len(part)).repeat_interleave(sizes), members] = True
            errors = joint_errors(self.loss, off).cpu()
            self.known.update(zip(part, (errors[:-1] - errors[-1]).tolist(), strict=True))

    def __getitem__(self, group: Group) -> float:
        return self.known[group]


def exhaustive_size(count: int, most_sets: int) -> int:
    """The largest size, from 2 to 4, up to which all sets are measured.

    >>> exhaustive_size(20, 200_000), exhaustive_size(100, 200_000), exhaustive_size(1000, 200_000)
    (4, 3, 2)
    """
    allowed = [size for size in (3, 4) if sum(math.comb(count, k) for k in range(size + 1)) <= most_sets]
    return min(max(allowed, default=2), count)


def measure_small(costs: Costs, size: int) -> None:
    """Measure all sets of up to so many units."""
    units = range(len(costs.loss.units))
    costs.measure(group for k in range(1, size + 1) for group in itertools.combinations(units, k))


def find_partners(costs: Costs, size: int, limits: Limits) -> Mapping[int, Group]:
    """For each unit that costs nothing alone, the R of up to `most_partners` without which it costs the most, where
    that is much.

        |d(u|1)| <= e,   d(u|1 - R) = E(1 - R - u) - E(1 - R) >= 10 e

    Exhaustive while R and u together are no more than `size`; larger R are made of the units with the greatest
    interactions with u (a shortlist), for units without a witness so far.
    """
    idle = {unit for unit in range(len(costs.loss.units)) if abs(costs[(unit,)]) <= limits.small}
    best: dict[int, tuple[float, Group]] = {}

    def consider(unit: int, partners: Group) -> None:
        costly = costs[_with(partners, unit)] - costs[partners]
        if costly >= limits.large and costly > best.get(unit, (-math.inf, ()))[0]:
            best[unit] = (costly, partners)

    for group in [group for group in costs.known if 2 <= len(group) <= limits.most_partners + 1]:
        for unit in idle.intersection(group):
            consider(unit, _without(group, unit))
    trials = {unit: list(_larger(costs, unit, size, limits)) for unit in sorted(idle - best.keys())}
    costs.measure(group for unit, sets in trials.items() for r in sets for group in (r, _with(r, unit)))
    for unit, sets in trials.items():
        for partners in sets:
            consider(unit, partners)
    return {unit: partners for unit, (_, partners) in sorted(best.items())}


def _larger(costs: Costs, unit: int, size: int, limits: Limits) -> Iterator[Group]:
    """Sets of partners too large for the exhaustive search."""
    others = [v for v in range(len(costs.loss.units)) if v != unit]
    joint = {v: costs[_with((v,), unit)] - costs[(v,)] for v in others}
    likely = sorted(others, key=lambda v: -joint[v])[: limits.shortlist]
    for k in range(size, limits.most_partners + 1):
        yield from itertools.combinations(sorted(likely), k)


def find_cancelling(costs: Costs, size: int, limits: Limits) -> tuple[Group, ...]:
    """The minimal groups that cost nothing together while a part of them costs much.

        E(1 - C) - E(1) <= e |C|,   E(1 - A) - E(1) >= 10 e |C| for some proper subset A;   no proper subset is such

    Exhaustive for |C| <= `size`; from there to `most_members` greedy: each unit that costs more than e is joined by
    the unit that makes the group cheapest, and again. What is found is minimal: all its subsets are tried.
    """
    found: set[Group] = set()
    small = sorted((group for group in costs.known if 2 <= len(group) <= size), key=len)
    for group in small:
        if costs[group] <= limits.small * len(group) and is_cancelling(costs, group, limits):
            _add_minimal(found, group)
    units = range(len(costs.loss.units))
    growing = [(unit,) for unit in units if costs[(unit,)] > limits.small]
    while growing and len(growing[0]) < min(limits.most_members, len(units)):
        costs.measure(_with(group, unit) for group in growing for unit in units if unit not in group)
        grown = {
            min((_with(group, unit) for unit in units if unit not in group), key=costs.__getitem__) for group in growing
        }
        for group in sorted(grown):
            if len(group) > size and costs[group] <= limits.small * len(group):
                costs.measure(subsets(group))
                for part in sorted((*subsets(group), group), key=len):
                    if len(part) >= 2 and is_cancelling(costs, part, limits):
                        _add_minimal(found, part)
        growing = sorted(grown)
    return tuple(sorted(found, key=lambda group: (len(group), group)))


def is_cancelling(costs: Costs, group: Group, limits: Limits) -> bool:
    """Whether the group costs nothing and a part of it much; its subsets are measured already."""
    if costs[group] > limits.small * len(group):
        return False
    return any(costs[part] >= limits.large * len(group) for part in subsets(group))


def subsets(group: Group) -> list[Group]:
    """The proper subsets, without the empty one.

    >>> subsets((1, 4, 6))
    [(1,), (4,), (6,), (1, 4), (1, 6), (4, 6)]
    """
    return [part for k in range(1, len(group)) for part in itertools.combinations(group, k)]


def _add_minimal(found: set[Group], group: Group) -> None:
    """Smaller groups come first, so that what holds one is not minimal."""
    if not any(part in found for part in subsets(group)):
        found.add(group)


def _with(group: Group, unit: int) -> Group:
    return tuple(sorted((*group, unit)))


def _without(group: Group, unit: int) -> Group:
    return tuple(member for member in group if member != unit)
