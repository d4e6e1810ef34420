"""All subsets against the gated network, the optimum against a search by hand, and walks against loops."""

from __future__ import annotations

import itertools

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated

import secateur as sc
from secateur import criteria
from secateur.analysis import BestSubset, removal_order
from secateur.errors import OptionError, UnitError
from secateur.gated import GatedLoss

SMALL = [case for case in CASES if case.reads and not case.large and len(case.names()) <= 9]


def error(loss: GatedLoss, off: tuple[int, ...]) -> float:
    gates = loss.gates()
    gates[list(off)] = 0.0
    return float(loss(gates).detach())


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_optimum_is_the_least_of_all_subsets(case: Case) -> None:
    loss = gated(case)
    best, count = sc.best_subset(loss), len(loss.units)
    for size in range(count + 1):
        every = {off: error(loss, off) for off in itertools.combinations(range(count), size)}
        assert float(best.optimum[size]) == pytest.approx(min(every.values()), rel=1e-10, abs=1e-12)
        assert error(loss, tuple(loss.units.positions(best.off(size)))) == pytest.approx(
            float(best.optimum[size]), rel=1e-10, abs=1e-12
        )


@pytest.mark.parametrize("name", ["sigmoid", "conv1d", "squeeze_excite"])
def test_greedy_is_the_run_of_the_oracle(name: str) -> None:
    loss = gated(BY_NAME[name])
    some = list(range(0, len(loss.units), 2))
    best, run = sc.best_subset(loss, some), removal_order(loss, "oracle", some)
    assert set(run.removed) == {loss.units[at].name for at in some}
    errors = torch.tensor([step.error for step in run.steps], dtype=torch.float64)
    assert torch.allclose(best.greedy(), errors, rtol=1e-10)
    assert torch.allclose(best.gap(run), errors - best.optimum, atol=1e-10)


@pytest.mark.parametrize("criterion", ["taylor1", "taylor2", "magnitude"])
def test_a_criterion_among_some_units_ranks_those_alone(criterion: str) -> None:
    loss = gated(BY_NAME["sigmoid"])
    some = [1, 4, 8, 10, 12]
    alive, order = list(range(len(loss.units))), []
    for _ in some:
        scores = criteria.CRITERIA[criterion](loss, torch.tensor(alive))
        lowest = min((u for u in some if u in alive), key=lambda u: float(scores[alive.index(u)]))
        alive.remove(lowest)
        order.append(loss.units[lowest].name)
    assert list(removal_order(loss, criterion, some).removed) == order


@pytest.mark.parametrize("seed", range(5))
def test_swaps_against_a_loop_over_sets(seed: int) -> None:
    torch.manual_seed(seed)
    units = tuple(sc.Unit("fc", at, "neuron") for at in range(6))
    best = BestSubset(units, torch.rand(64, dtype=torch.float64))
    everyone, off, expected = set(range(6)), set(), [float(best.errors[0])]

    def of(members: set[int]) -> float:
        return float(best.errors[sum(1 << at for at in members)])

    for _ in units:
        off = off | {min(everyone - off, key=lambda u: of(off | {u}))}
        while True:
            swaps = [(off - {back}) | {gone} for back in off for gone in everyone - off]
            least = min(swaps, key=of, default=off)
            if of(least) >= of(off):
                break
            off = least
        expected.append(of(off))
    assert best.swapped().tolist() == expected
    assert (best.optimum <= best.swapped()).all()


def test_the_share_of_better_sets() -> None:
    units = tuple(sc.Unit("fc", at, "neuron") for at in range(3))
    best = BestSubset(units, torch.tensor([0.0, 3.0, 1.0, 9.0, 2.0, 9.0, 9.0, 9.0], dtype=torch.float64))
    assert best.share_better(["fc:0"]) == pytest.approx(2 / 3)
    assert best.share_better([units[1]]) == 0.0
    assert [unit.name for unit in best.off(1)] == ["fc:1"]
    assert best.error(["fc:2"]) == 2.0


def test_refuses_too_many_units_and_others() -> None:
    loss = gated(BY_NAME["lenet5"])
    with pytest.raises(OptionError, match="expected 1 to 24"):
        sc.best_subset(loss)
    with pytest.raises(OptionError, match="expected 1 to 24"):
        sc.best_subset(loss, [])
    best = sc.best_subset(gated(BY_NAME["sigmoid"]), [0, 1])
    with pytest.raises(UnitError, match="not among the 2 units"):
        best.gap(["fc9:1"])
