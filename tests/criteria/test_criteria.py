"""Criteria that need no derivatives: magnitude, random, thresholding; and the oracle's choice of engine."""

from __future__ import annotations

import pytest
import torch
from cases import BY_NAME, gated
from torch import Tensor

from secateur import oracle
from secateur.criteria import CRITERIA, Oracle
from secateur.criteria.random import Random
from secateur.criteria.thresholded import Thresholded
from secateur.gated import GatedLoss


@pytest.mark.parametrize(
    ("case", "unit", "made_by"),
    [
        ("sigmoid", "fc2:3", {"fc2.weight": [3], "fc2.bias": [3]}),
        ("conv", "conv2:1", {"conv2.weight": [1]}),  # without bias; a BatchNorm scales, but makes nothing
        ("residual", "stem:2", {"stem.weight": [2], "block1.conv2.weight": [2]}),
        (
            "grouped",
            "conv:3",
            {"conv.weight": [3, 4, 5], "conv.bias": [3, 4, 5], "grouped.weight": [2, 3], "grouped.bias": [2, 3]},
        ),
        ("shared", "first:4", {"first.weight": [4], "first.bias": [4], "shared.weight": [4], "shared.bias": [4]}),
        ("chunk", "fc1:1", {"fc1.weight": [1, 5], "fc1.bias": [1, 5]}),
        ("functional", "w1:2", {"w1": [2], "b1": [2]}),
    ],
)
def test_magnitude_is_the_norm_of_what_makes_the_unit(case: str, unit: str, made_by: dict[str, list[int]]) -> None:
    loss = gated(BY_NAME[case])
    parameters = dict(loss.model.named_parameters())
    expected = sum(parameters[name][rows].detach().square().sum() for name, rows in made_by.items()) ** 0.5
    (found,) = CRITERIA["magnitude"](loss, torch.tensor([loss.units.position(unit)]))
    assert abs(float(found) - float(expected)) <= 1e-12 * float(expected)


def test_random_is_seeded_by_the_units_name() -> None:
    loss, everything = gated(BY_NAME["sigmoid"]), torch.arange(13)
    draws = Random(seed=1)(loss, everything)
    assert torch.equal(Random(seed=1)(loss, torch.tensor([4, 9])), draws[[4, 9]])
    assert not torch.equal(Random(seed=2)(loss, everything), draws)
    assert bool(((draws >= 0) & (draws < 1)).all())
    assert len(draws.unique()) == 13
    other = gated(BY_NAME["relu"])  # another network whose units are called the same
    assert torch.equal(Random(seed=1)(other, everything), draws)


def test_random_draws_are_uniform() -> None:
    loss = gated(BY_NAME["lenet5"])
    draws = torch.cat([Random(seed)(loss, torch.arange(570)) for seed in range(4)])
    assert abs(float(draws.mean()) - 0.5) < 0.03
    assert abs(float(draws.var()) - 1 / 12) < 0.01


def fixed(values: list[float]) -> Thresholded:
    return Thresholded(lambda loss, alive: torch.tensor(values, dtype=torch.float64), "mean")


@pytest.mark.parametrize(("replacement", "usual"), [("mean", 5.0), ("median", 0.0)])
def test_thresholding_replaces_what_is_too_large(replacement: str, usual: float) -> None:
    """19 zeros and 100: mean 5, deviation 21.8, so that the threshold is 70.4."""
    values = torch.tensor([0.0] * 19 + [100.0], dtype=torch.float64)
    criterion = Thresholded(lambda loss, alive: values, replacement)
    assert criterion(gated(BY_NAME["residual"]), torch.arange(20)).tolist() == [0.0] * 19 + [usual]


def test_thresholding_leaves_the_rest_alone() -> None:
    """Low scores, however low, and single ones."""
    for scores in ([0.0] * 19 + [-100.0], [7.0], [], [3.0, 3.0]):
        assert fixed(scores)(gated(BY_NAME["residual"]), torch.arange(len(scores))).tolist() == scores


@pytest.mark.parametrize("base", ["taylor2", "taylor2_paper"])
@pytest.mark.parametrize("replacement", ["mean", "median"])
def test_thresholded_criteria_are_registered(base: str, replacement: str) -> None:
    loss, alive = gated(BY_NAME["sigmoid"]), torch.arange(13)
    scores = CRITERIA[base](loss, alive)
    usual = scores.mean() if replacement == "mean" else scores.sort().values[6]
    limit = scores.mean() + 3 * (scores - scores.mean()).square().mean().sqrt()
    expected = torch.where(scores > limit, usual, scores)
    assert torch.equal(CRITERIA[f"{base}_{replacement}"](loss, alive), expected)


@pytest.mark.parametrize("engine", oracle.ENGINES)
def test_the_oracle_asks_its_engine(engine: str) -> None:
    loss, alive = gated(BY_NAME["dense"]), torch.tensor([0, 3, 4, 8])
    expected = oracle.ENGINES[engine](loss, loss.gates(alive), alive)
    assert torch.equal(Oracle(engine)(loss, alive), expected)
    assert torch.equal(Oracle().using(engine)(loss, alive), expected)
    assert Oracle().engine == "exact"


def test_the_oracle_takes_an_engine_of_ones_own() -> None:
    def mine(loss: GatedLoss, gates: Tensor, units: Tensor) -> Tensor:
        return units.to(torch.float64)

    assert Oracle(mine)(gated(BY_NAME["relu"]), torch.tensor([2, 5])).tolist() == [2.0, 5.0]
