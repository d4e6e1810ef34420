"""Roles: what each unit does in the network, by PAPER's definitions, confirmed on fresh examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from secateur.analysis import groups
from secateur.analysis.groups import Costs, Limits
from secateur.analysis.scale import error_scale
from secateur.analysis.states import cost_range, tolerable_states
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.types import Unit

ROLES = (
    "dead",
    "constant",
    "harmful",
    "redundant",
    "cancelling",
    "offset-cancelling",
    "bearing",
    "mixed",
)
"""In the order of precedence."""


@dataclass(frozen=True)
class Thresholds:
    """All numbers that the roles depend on.

    With K units and the error's scale S: e = tolerance * S / K is nothing, `much` * e is much.
    """

    tolerance: float = 0.01
    much: float = 10.0
    orders: int = 50
    """Random orders of removal among the states G."""
    most_partners: int = 3
    """|R| of a redundant unit, at most."""
    most_members: int = 6
    """|C| of a cancelling group, at most, in the greedy search."""
    most_sets: int = 200_000
    """Sets of 3, then of 4 units are searched exhaustively where all up to that size are no more than this."""
    shortlist: int = 6
    """Partners with the greatest interactions, of which larger R are made."""


@dataclass(frozen=True, eq=False)
class Roles:
    """The role of each unit, and its evidence.

    Shape:
        K units: roles, unconfirmed (K,) names; costs, least (K,) float64.
    Units:
        costs are changes of the error, summed over the examples that rank; `small` is e on those.
    Source:
        PAPER.md, "Definitions for the claims".

    >>> unit = Unit("fc1", 0, "neuron")
    >>> zero = torch.zeros(1).double()
    >>> found = Roles((unit,), ("dead",), ("dead",), zero, zero, {}, (), 0.1, 4, Thresholds())
    >>> found.role("fc1:0"), found.counts["bearing"]
    ('dead', 0)
    """

    units: tuple[Unit, ...]
    roles: tuple[str, ...]
    unconfirmed: tuple[str, ...]
    """The roles by the examples that rank alone: where they differ, fresh examples did not confirm them."""
    costs: Float64[Tensor, " units"]
    """d(u|1) = E(1 - e_u) - E(1), off = zero."""
    least: Float64[Tensor, " units"]
    """The least d(u|g) over the states G, off = zero."""
    partners: Mapping[str, tuple[str, ...]]
    """For each redundant unit the R without which it costs the most."""
    cancelling: tuple[tuple[str, ...], ...]
    """The minimal groups that cancel under off = zero, whether confirmed or not."""
    small: float
    exhaustive: int
    """Sets of up to so many units were all measured; larger ones were searched for, so some may be missed."""
    thresholds: Thresholds

    def role(self, unit: Unit | str) -> str:
        """The role of one unit."""
        name = unit.name if isinstance(unit, Unit) else unit
        return dict(zip((unit.name for unit in self.units), self.roles, strict=True))[name]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many units have each role, in the order of precedence."""
        found = Counter(self.roles)
        return {role: found[role] for role in ROLES}


def roles(zero: GatedLoss, mean: GatedLoss, fresh: Any, thresholds: Thresholds | None = None, seed: int = 0) -> Roles:
    """What each unit does: the first of these that holds both on the examples and on fresh ones.

        dead                |d| <= e over the states G, under both meanings of off
        constant            the same under off = mean only
        harmful             d(u|1) < -e
        redundant           |d(u|1)| <= e, yet d(u|1 - R) >= 10 e for some |R| <= 3
        cancelling          in a minimal group C with E(1 - C) - E(1) <= e |C|, a part of which costs >= 10 e |C|; and C
                            is such a group under off = mean too
        offset-cancelling   in one under off = zero only
        bearing             the least d over G is >= 10 e
        mixed               the rest

    e = t S / K with S = E(best constant output) - E(1), afresh for the fresh examples. d(u|g) = E(g - e_u) - E(g). G:
    all units on, the oracle's run and random orders, while E(g) - E(1) <= t S; of each meaning its own. What is not
    said otherwise is under off = zero. Witnesses (states, R, C) are found on the examples; the very same are tried on
    the fresh ones. Groups of up to `exhaustive` units are all tried (4 for 20 units, 3 for 100); larger ones are found
    greedily or not at all, so "redundant" and "cancelling" may be too few, never too many.

    Shape:
        `zero` and `mean`: the same network and examples, off="zero" and off="mean"; `fresh`: other examples.
    Units:
        counts of units; errors are summed over examples.
    Raises:
        OptionError: the two meanings are mixed up or have other units; the network is no better than a constant.
    Source:
        PAPER.md, "Definitions for the claims".

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer, weights in zip(model, ([[1.0], [1.0]], [[1.0, 0.0]])):
    ...     layer.weight = torch.nn.Parameter(torch.tensor(weights))
    >>> x = torch.linspace(-1, 1, 9)[:, None]
    >>> zero, mean = (GatedLoss(model, (x, x), "sse", off=off) for off in ("zero", "mean"))
    >>> roles(zero, mean, fresh=(x / 2, x / 2)).roles  # the second unit's outgoing weight is 0
    ('bearing', 'dead')
    """
    limit = Thresholds() if thresholds is None else thresholds
    _require_twins(zero, mean)
    scale = float(error_scale(zero))
    limits = _limits(limit, scale, len(zero.units))
    costs = Costs(zero)
    size = groups.exhaustive_size(len(zero.units), limit.most_sets)
    groups.measure_small(costs, size)
    witnesses = Witnesses(
        tolerable_states(zero, limit.tolerance * scale, limit.orders, seed),
        tolerable_states(mean, limit.tolerance * scale, limit.orders, seed),
        groups.find_partners(costs, size, limits),
        groups.find_cancelling(costs, size, limits),
    )
    found = _evidence(costs, Costs(mean), witnesses, limits)
    other = zero.on(fresh)
    again = _evidence(
        Costs(other), Costs(mean.on(fresh)), witnesses, _limits(limit, float(error_scale(other)), len(zero.units))
    )
    name = [unit.name for unit in zero.units]
    return Roles(
        units=tuple(zero.units),
        roles=_first({role: found.holds[role] & again.holds[role] for role in ROLES}),
        unconfirmed=_first(found.holds),
        costs=found.costs,
        least=found.least,
        partners={name[unit]: tuple(name[v] for v in r) for unit, r in witnesses.partners.items()},
        cancelling=tuple(tuple(name[unit] for unit in group) for group in witnesses.groups),
        small=limits.small,
        exhaustive=size,
        thresholds=limit,
    )


@dataclass(frozen=True)
class Witnesses:
    """What the roles of the units are told by."""

    zero_states: Tensor
    mean_states: Tensor
    partners: Mapping[int, groups.Group]
    groups: tuple[groups.Group, ...]


@dataclass(frozen=True)
class Evidence:
    """What holds of which unit on some examples."""

    holds: Mapping[str, Tensor]
    costs: Tensor
    least: Tensor


def _evidence(zero: Costs, mean: Costs, witnesses: Witnesses, limits: Limits) -> Evidence:
    count, small, large = len(zero.loss.units), limits.small, limits.large
    low, high = cost_range(zero.loss, witnesses.zero_states)
    mean_low, mean_high = cost_range(mean.loss, witnesses.mean_states)
    zero.measure((unit,) for unit in range(count))
    alone = torch.tensor([zero[(unit,)] for unit in range(count)], dtype=torch.float64)
    idle = torch.maximum(low.abs(), high.abs()) <= small
    constant = torch.maximum(mean_low.abs(), mean_high.abs()) <= small
    redundant = torch.zeros(count, dtype=torch.bool)
    for unit, partners in witnesses.partners.items():
        joint = tuple(sorted((*partners, unit)))
        zero.measure([partners, joint])
        redundant[unit] = abs(alone[unit]) <= small and zero[joint] - zero[partners] >= large
    cancelling, offset = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
    for group in witnesses.groups:
        members = list(group)
        for costs in (zero, mean):
            costs.measure([group, *groups.subsets(group)])
        if groups.is_cancelling(zero, group, limits):
            offset[members] = True
            cancelling[members] |= groups.is_cancelling(mean, group, limits)
    holds = {
        "dead": idle & constant,
        "constant": constant,
        "harmful": alone < -small,
        "redundant": redundant,
        "cancelling": cancelling,
        "offset-cancelling": offset,
        "bearing": low >= large,
        "mixed": torch.ones(count, dtype=torch.bool),
    }
    return Evidence(holds, alone, low)


def _first(holds: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The first role that holds, for each unit."""
    table = torch.stack([holds[role] for role in ROLES], 1)
    return tuple(ROLES[at] for at in table.to(torch.int8).argmax(1).tolist())


def _limits(thresholds: Thresholds, scale: float, count: int) -> Limits:
    small = thresholds.tolerance * scale / count
    return Limits(
        small,
        thresholds.much * small,
        thresholds.most_partners,
        thresholds.most_members,
        thresholds.shortlist,
    )


def _require_twins(zero: GatedLoss, mean: GatedLoss) -> None:
    if (zero.off, mean.off) != ("zero", "mean"):
        raise OptionError(
            f"roles got losses with off={zero.off!r} and off={mean.off!r}; expected 'zero', then 'mean': "
            "roles(GatedLoss(model, data), GatedLoss(model, data, off='mean'), fresh)"
        )
    lacking = {unit.name for unit in zero.units} ^ {unit.name for unit in mean.units}
    if lacking:
        raise OptionError(
            f"{len(lacking)} units exist under one meaning of off only, such as {min(lacking)}: a mean that can't move "
            "into a bias exactly makes none. roles needs networks where every unit has both meanings."
        )
    if len(zero.examples) != len(mean.examples):
        raise OptionError(f"roles got {len(zero.examples)} and {len(mean.examples)} examples; expected the same ones.")
