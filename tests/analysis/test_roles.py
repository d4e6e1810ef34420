"""Roles: networks where each is worked out by hand, and PAPER's definitions written out against the fast search."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from secateur.analysis import ROLES, Roles, Thresholds, error_scale, joint_errors, roles
from secateur.analysis.states import cost_range, tolerable_states
from secateur.errors import OptionError
from secateur.gated import GatedLoss

X = torch.linspace(-1, 1, 41, dtype=torch.float64)[:, None]
FRESH = (0.97 * X, 0.97 * X)
FEW = Thresholds(orders=4)


def linear(*units: tuple[float, float, float]) -> nn.Module:
    """sum of v (a x + b) over units (a, b, v); the output's bias makes up for the sum of v b."""
    slope, shift, out = torch.tensor(units, dtype=torch.float64).T
    model = nn.Sequential(nn.Linear(1, len(units)), nn.Linear(len(units), 1)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(slope[:, None])
        model[0].bias.copy_(shift)
        model[1].weight.copy_(out[None])
        model[1].bias.copy_(-(out * shift).sum()[None])
    return model


def twins(model: nn.Module, x: Tensor = X, y: Tensor | None = None) -> tuple[GatedLoss, GatedLoss]:
    """Both meanings of off."""
    pair = (x, x if y is None else y)
    return GatedLoss(model, pair, "sse"), GatedLoss(model, pair, "sse", off="mean")


def found(*units: tuple[float, float, float]) -> tuple[str, ...]:
    return roles(*twins(linear(*units)), FRESH, FEW).roles


# With E = S (1 - sum of a v over what is on)^2 for units without shift, each is worked out by hand.
SIGNAL = (1.0, 0.0, 1.0)


def test_dead_constant_bearing() -> None:
    assert found(SIGNAL, (1.0, 0.0, 0.0), (0.0, 3.0, 1.0)) == ("bearing", "dead", "constant")


def test_cancelling() -> None:
    assert found(SIGNAL, (1.0, 0.0, 2.0), (1.0, 0.0, -2.0)) == ("bearing", "cancelling", "cancelling")


def test_offset_cancelling() -> None:
    # Under the mean each costs 5 e, between e and 20 e, where nothing is dead and no pair cancels.
    vary = (5 * 0.01 / 3) ** 0.5
    assert found(SIGNAL, (vary, 10.0, 1.0), (vary, 10.0, -1.0))[1:] == ("offset-cancelling", "offset-cancelling")


def test_harmful() -> None:
    # The sum is 1.5: without 0.5 nothing is lost.
    assert found(SIGNAL, (1.0, 0.0, 0.5))[1] == "harmful"


def test_redundant() -> None:
    # The sum is 1.1: without 0.2 it is 0.9, as bad; without the signal as well it is -0.1 for 0.1. It is not dead,
    # since without -0.1, which the tolerance allows, it harms.
    units = linear(SIGNAL, (1.0, 0.0, 0.2), (1.0, 0.0, -0.1))
    given = roles(*twins(units), FRESH, Thresholds(tolerance=0.04, orders=4))
    assert given.role("0:1") == "redundant"
    assert "0:0" in given.partners["0:1"]


def test_what_fresh_examples_deny_is_not_confirmed() -> None:
    # A unit that is dead on x <= 0 speaks up where x > 0.
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)).double().eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model[0].bias.zero_()
        model[2].weight.copy_(torch.tensor([[-1.0, 1.0]]))
        model[2].bias.zero_()
    x = X[X <= 0][:, None]
    given = roles(*twins(model, x), (X, X), FEW)
    assert given.unconfirmed == ("bearing", "dead")
    assert given.roles == ("bearing", "mixed")
    assert given.counts == {**dict.fromkeys(ROLES, 0), "bearing": 1, "mixed": 1}


class Plain:
    """PAPER's definitions, one error at a time."""

    def __init__(self, loss: GatedLoss, limit: Thresholds) -> None:
        self.loss, self.known = loss, {}
        self.units = range(len(loss.units))
        self.small = limit.tolerance * float(error_scale(loss)) / len(self.units)

    def error(self, off: Sequence[int]) -> float:
        key = tuple(sorted(off))
        if key not in self.known:
            gates = self.loss.gates()
            gates[list(key)] = 0.0
            self.known[key] = float(self.loss(gates).detach())
        return self.known[key]

    def cost(self, unit: int, off: Sequence[int] = ()) -> float:
        return self.error((*off, unit)) - self.error(off)

    def costs(self, unit: int, states: Tensor) -> list[float]:
        return [self.cost(unit, state.nonzero().flatten().tolist()) for state in states if not state[unit]]

    def cancels(self, group: Sequence[int]) -> bool:
        if self.error(group) - self.error(()) > self.small * len(group):
            return False
        parts = (part for k in range(1, len(group)) for part in itertools.combinations(group, k))
        return any(self.error(part) - self.error(()) >= 10 * self.small * len(group) for part in parts)

    def groups(self, most: int) -> Iterator[tuple[int, ...]]:
        minimal: list[set[int]] = []
        for size in range(2, most + 1):
            for group in itertools.combinations(self.units, size):
                if not any(part < set(group) for part in minimal) and self.cancels(group):
                    minimal.append(set(group))
                    yield group


def written_out(zero: GatedLoss, mean: GatedLoss, limit: Thresholds) -> tuple[str, ...]:
    """The roles by the examples alone."""
    plain, other = Plain(zero, limit), Plain(mean, limit)
    slack, small = limit.tolerance * float(error_scale(zero)), plain.small
    states, mean_states = tolerable_states(zero, slack, limit.orders), tolerable_states(mean, slack, limit.orders)
    groups = list(plain.groups(limit.most_members))

    def role(u: int) -> str:
        costs = plain.costs(u, states)
        others = [v for v in plain.units if v != u]
        constant = all(abs(cost) <= small for cost in other.costs(u, mean_states))
        if constant:
            return "dead" if all(abs(cost) <= small for cost in costs) else "constant"
        if plain.cost(u) < -small:
            return "harmful"
        sets = (r for k in (1, 2, 3) for r in itertools.combinations(others, k))
        if abs(plain.cost(u)) <= small and any(plain.cost(u, r) >= 10 * small for r in sets):
            return "redundant"
        own = [group for group in groups if u in group]
        if own:
            return "cancelling" if any(other.cancels(group) for group in own) else "offset-cancelling"
        return "bearing" if min(costs) >= 10 * small else "mixed"

    return tuple(role(u) for u in plain.units)


def noisy(seed: int, activation: nn.Module) -> tuple[nn.Module, Tensor, Tensor]:
    """A network with copies that cancel, a unit that nothing reads, and one that hardly varies."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 4), activation, nn.Linear(4, 4), activation, nn.Linear(4, 1)).double().eval()
    with torch.no_grad():
        model[0].weight[3] = model[0].weight[2] + 0.01 * torch.randn(2)
        model[0].bias[3] = model[0].bias[2]
        model[2].weight[:, 3] = -model[2].weight[:, 2]
        model[4].weight[0, 1] = 0.0
        model[2].weight[2] *= 0.02
        model[4].weight *= 3.0
    x = torch.randn(30, 2).double()
    answer = model(x).detach()
    return model, x, answer + 0.2 * answer.std() * torch.randn(30, 1).double()


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("activation", [nn.Tanh(), nn.ReLU(), nn.Sigmoid()], ids=repr)
@pytest.mark.parametrize("seed", range(2))
def test_against_the_definitions_written_out(seed: int, activation: nn.Module, tolerance: float) -> None:
    model, x, y = noisy(seed, activation)
    zero, mean = twins(model, x, y)
    limit = Thresholds(tolerance=tolerance, orders=5, most_members=4)
    given = roles(zero, mean, (x, y), limit)
    assert given.exhaustive == 4
    assert given.unconfirmed == written_out(zero, mean, limit)
    assert given.roles == given.unconfirmed, "the very same examples deny nothing"


def test_larger_groups_are_found_greedily() -> None:
    # Four units of 1 against one of -4: five that cancel, and no four of them do.
    units = [*[(1.0, 0.0, 0.25)] * 4, *[(1.0, 0.0, 1.0)] * 4, (1.0, 0.0, -4.0)]
    given = roles(*twins(linear(*units)), FRESH, FEW)
    assert tuple(f"0:{at}" for at in range(4, 9)) in given.cancelling
    assert given.role("0:8") == "cancelling"


def test_with_few_sets_larger_partners_are_looked_for() -> None:
    # As in test_redundant, the signal in three parts: only without all of them is 0.2 missed by 10 e.
    units = [(1.0, 0.0, 1 / 3)] * 3 + [(1.0, 0.0, 0.2), (1.0, 0.0, -0.1)]
    limit = Thresholds(tolerance=0.08, orders=2, most_sets=0)
    given = roles(*twins(linear(*units)), FRESH, limit)
    assert given.exhaustive == 2
    plain = Plain(twins(linear(*units))[0], limit)
    assert "redundant" in given.roles
    for unit, partners in given.partners.items():
        at, off = int(unit.split(":")[1]), [int(name.split(":")[1]) for name in partners]
        assert plain.cost(at, off) >= 10 * plain.small


class TestStates:
    def test_each_is_in_the_tolerance_and_its_way_too(self) -> None:
        model, x, y = noisy(0, nn.Tanh())
        loss = twins(model, x, y)[0]
        limit = 3 * float(error_scale(loss))
        states = tolerable_states(loss, limit, orders=20)
        assert not states[0].any()
        assert len({tuple(state.tolist()) for state in states}) == len(states) > 3
        assert (joint_errors(loss, states) <= float(loss()) + limit).all()
        known = {tuple(state.tolist()) for state in states}
        for state in states[1:]:  # each was reached by one removal from another
            before = [state.clone().index_fill(0, at, False) for at in state.nonzero()]
            assert any(tuple(one.tolist()) in known for one in before)

    def test_another_seed_takes_other_orders(self) -> None:
        model, x, y = noisy(1, nn.Tanh())
        loss = twins(model, x, y)[0]
        limit = 2 * float(error_scale(loss))
        assert torch.equal(tolerable_states(loss, limit, 3, seed=1), tolerable_states(loss, limit, 3, seed=1))
        assert not torch.equal(tolerable_states(loss, limit, 3, seed=1), tolerable_states(loss, limit, 3, seed=2))

    def test_ranges_are_of_the_units_that_are_on(self) -> None:
        model, x, y = noisy(0, nn.Sigmoid())
        loss = twins(model, x, y)[0]
        states = torch.rand(6, 8) < 0.4
        states[0] = False
        low, high = cost_range(loss, states)
        plain = Plain(loss, Thresholds())
        for unit in range(8):
            costs = plain.costs(unit, states)
            assert (float(low[unit]), float(high[unit])) == pytest.approx((min(costs), max(costs)), rel=1e-9, abs=1e-11)


def test_refuses_the_meanings_the_wrong_way_round() -> None:
    zero, mean = twins(linear(SIGNAL, SIGNAL))
    with pytest.raises(OptionError, match="'zero', then 'mean'"):
        roles(mean, zero, FRESH)


def test_the_record_answers_by_unit() -> None:
    given = roles(*twins(linear(SIGNAL, (1.0, 0.0, 0.0))), FRESH, FEW)
    assert isinstance(given, Roles)
    assert [given.role(unit) for unit in given.units] == list(given.roles)
