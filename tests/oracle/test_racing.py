"""Racing: its bounds on single examples hold, its guarantee holds, and it says where it has none."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from cases import CASES, Case, measurable
from torch import Tensor, nn

from secateur import oracle
from secateur.criteria import resolve
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.oracle import Racing, racing
from secateur.oracle.influence import influence
from secateur.oracle.racing import Race
from secateur.oracle.residue import residue
from secateur.oracle.sampling import changes_at
from secateur.oracle.slopes import slopes
from secateur.stopping import units


def heavy(examples: int = 600, seed: int = 0, name: str = "cross_entropy") -> GatedLoss:
    """One hidden layer whose values have heavy tails: few examples hold most of a unit's change."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()
    x = torch.randn(examples, 4).double() ** 3
    y = torch.randint(3, (examples,)) if name == "cross_entropy" else torch.rand(examples, 3).double()
    return GatedLoss(model, (x, y), name)


def residues_hold(loss: GatedLoss, gates: Tensor) -> int:
    """Whether the true change of each example lies in its bounds; how many units have proved ones."""
    alive = gates.nonzero().flatten()
    known = slopes(loss, gates)
    found = residue(loss, gates, known, influence(loss))
    alive = alive[found.proved[alive]]
    if len(alive):
        changes, first = changes_at(loss, gates, alive, torch.arange(len(loss.examples))).T, known.first[:, alive]
        rest, slack = changes - first, 1e-11 * (1 + known.on[:, None] + changes.abs() + first.abs())
        assert bool((rest >= found.low[:, alive] - slack).all())
        assert bool((rest <= found.high[:, alive] + slack).all())
    return len(alive)


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_bounds_of_single_examples_on_every_network(case: Case, off: str) -> None:
    loss = measurable(case, off)
    gates = loss.gates()
    residues_hold(loss, gates)
    gates[::3] = 0.0
    residues_hold(loss, gates)


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "sse", "mse", "self"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_bounds_of_single_examples_from_undecided_to_saturated(name: str, scale: float) -> None:
    torch.manual_seed(1)
    layers = nn.Linear(3, 6), nn.SiLU(), nn.Linear(6, 5), nn.LeakyReLU(0.3), nn.Linear(5, 3)
    model = nn.Sequential(*layers).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    x = torch.randn(40, 3).double() ** 3
    y = torch.randint(3, (40,)) if name == "cross_entropy" else torch.rand(40, 3).double()
    loss = GatedLoss(model, x if name == "self" else (x, y), name)
    assert residues_hold(loss, loss.gates()) == 11


def races(loss: GatedLoss, repetitions: int, **options: Any) -> tuple[float, float]:
    """How often a race's choice is worse than the best by more than its eps, and the share of evaluations it took."""
    gates, candidates = loss.gates(), torch.arange(len(loss.units))
    scores, reached = oracle.reference(loss, gates, candidates), influence(loss)
    missed, spent = 0, 0
    for seed in range(repetitions):
        race = Race(loss, gates, candidates, reached, Racing(seed=seed, first=20, **options), 0)
        race.run()
        assert race.proved
        missed += float(scores[race.leader]) > float(scores.min()) + race.eps + 1e-9
        spent += race.evaluations
    return missed / repetitions, spent / (repetitions * len(candidates) * len(loss.examples))


@pytest.mark.parametrize(("name", "seed"), [("cross_entropy", 0), ("cross_entropy", 6), ("bce", 0), ("sse", 0)])
def test_the_guarantee_holds_and_saves(name: str, seed: int) -> None:
    """Seed 6 is one of units that are hard to tell apart: see the next but one."""
    missed, share = races(heavy(name=name, seed=seed), 40, delta=0.2, eps=0.01)
    assert missed <= 0.2
    assert share < (1.0 if seed else 0.8)


def test_the_guarantee_holds_at_every_look() -> None:
    """delta is that of a whole run; with all of it spent on one pair's bound, each bound still holds so often."""
    loss = heavy(300)
    gates, candidates = loss.gates(), torch.arange(8)
    scores, reached = oracle.reference(loss, gates, candidates), influence(loss)
    looks = missed = 0
    for seed in range(40):
        race = Race(loss, gates, candidates, reached, Racing(seed=seed, first=15), 0)
        race.alpha = 0.2
        wrong = False
        while len(race.drawn) < 200:
            race._draw()
            for race.leader in (0, 3):
                truth = scores - scores[race.leader]
                wrong = wrong or bool((race._margins() > truth + 1e-9)[[1]].any())
                looks += 1
        missed += wrong
    assert looks > 300
    assert missed / 40 <= 0.4 + 0.1  # two pairs


def test_a_radius_of_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: estimates taken for bounds miss far more often than delta."""

    def careless(draws: Tensor, weights: Tensor, left: Tensor, *_: Any) -> Tensor:
        return draws.sum(0) + (left[-1] - weights[-1]) * (draws / weights[:, None]).mean(0)

    monkeypatch.setattr(racing, "lower_bound", careless)
    missed, _ = races(heavy(seed=6), 40, delta=0.05, eps=0.0)
    assert missed > 0.2


def test_what_can_not_be_told_apart_is_measured_in_full() -> None:
    """Two units that are the same: no sample tells them apart, eps is 0, and the tie goes to the earlier."""
    loss = heavy(200, 1)
    with torch.no_grad():
        first, last = loss.model[0], loss.model[2]
        best = int(oracle.reference(loss, loss.gates(), torch.arange(8)).argmin())
        other = (best + 1) % 8
        first.weight[other], first.bias[other] = first.weight[best], first.bias[best]
        last.weight[:, best] /= 2
        last.weight[:, other] = last.weight[:, best]
    loss = loss.on(loss.examples.fields)
    exact = remove_units(loss, resolve("oracle", "exact"), units(1))
    criterion = resolve("oracle", Racing(eps=0.0))
    assert remove_units(loss, criterion, units(1)).removed == exact.removed
    assert criterion.report()["eps"] == {"0": 0.0}


def test_whole_runs_keep_what_they_promise() -> None:
    """Every choice is within the eps that is told for its round."""
    loss = heavy(400)
    criterion = resolve("oracle", Racing(eps=0.02), seed=4)
    trace = remove_units(loss, criterion, units(6))
    told, gates = criterion.report()["eps"], loss.gates()
    for number, step in enumerate(trace.steps[1:]):
        alive = gates.nonzero().flatten()
        scores = oracle.reference(loss, gates, alive)
        position = loss.units.position(step.unit)
        chosen = float(scores[(alive == position).nonzero().item()])
        assert chosen <= float(scores.min()) + told[str(number)] + 1e-9
        gates[position] = 0.0


def test_without_bounds_nothing_is_promised_and_rounds_are_audited() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double().eval()
    data = torch.randn(500, 4).double(), torch.randint(3, (500,))

    def own(output: Tensor, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(output, batch[1], reduction="none")

    criterion = resolve("oracle", Racing(audit=1.0))
    remove_units(GatedLoss(model, data, own), criterion, units(4))
    report = criterion.report()
    assert report["audited"] > 0
    assert report["audited"] + report["certain"] == 4
    assert report["guaranteed"] == len(report["eps"]) == report["certain"]  # what was measured in full is exact


def test_draws_are_fresh_in_every_round() -> None:
    loss = heavy(50)
    made = [
        Race(loss, loss.gates(), torch.arange(8), influence(loss), Racing(seed=s), n)
        for s, n in ((0, 0), (0, 1), (1, 0))
    ]
    assert not torch.equal(made[0].order, made[1].order)
    assert not torch.equal(made[0].order, made[2].order)


def test_options_that_mean_nothing() -> None:
    for wrong in ({"delta": 0.0}, {"delta": 1.0}, {"eps": -1.0}, {"eps": math.inf}, {"audit": 1.5}, {"first": 0}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Racing(**wrong)
