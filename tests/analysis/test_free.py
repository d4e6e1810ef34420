"""Free removals: against a loop that keeps every answer, by simulation of the promise, and as a stop."""

from __future__ import annotations

import math
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from secateur import stopping
from secateur.criteria import Oracle, Random
from secateur.errors import DataError, OptionError, UnknownNameError
from secateur.loop import remove_units
from secateur.paired import Pairs, drop_p_value
from secateur.trace import Step, Trace


def network(hidden: int = 12) -> nn.Module:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))
    x, y = examples(400, seed=9)
    search = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(150):
        search.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        search.step()
    return model.eval()


def examples(count: int, seed: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return x, (x.square().sum(1) < 1.4).long()


@pytest.fixture(scope="module")
def ranked() -> tuple[sc.GatedLoss, Trace]:
    loss = sc.GatedLoss(network(), examples(200, seed=0))
    return loss, remove_units(loss, Oracle(), stopping.never())


def test_is_what_a_loop_over_answers_finds(ranked: tuple[sc.GatedLoss, Trace]) -> None:
    loss, trace = ranked
    x, y = examples(900, seed=1)
    found = sc.free(trace, loss.on((x, y)), drop=0.03)
    model, gone, certified = loss.model, [], 0
    before = (model(x).argmax(1) == y).tolist()
    for name in trace.removed:
        gone.append(int(name.rpartition(":")[2]))
        hidden = torch.tanh(model[0](x))
        hidden[:, gone] = 0.0
        after = (model[2](hidden).argmax(1) == y).tolist()
        lost = sum(a and not b for a, b in zip(before, after, strict=True))
        gained = sum(b and not a for a, b in zip(before, after, strict=True))
        assert found.tested[len(gone) - 1] == Pairs(lost, gained, len(y) - lost - gained)
        if drop_p_value(Pairs(lost, gained, len(y) - lost - gained), 0.03) > 0.05:
            break
        certified += 1
    assert found.removed == certified
    assert 0 < certified < len(trace.removed)
    assert len(found.tested) == certified + 1
    assert found.drop < found.bound <= 0.03


def test_the_promise_by_simulation() -> None:
    """A run whose true drop passes one point at a known step: that step is certified in at most 5% of all samples.

    The answers of an example along the run depend on each other, as they do in a real run: each has a threshold of its
    own at which it is lost, and some are gained and lost again.
    """
    generator = np.random.default_rng(1)
    drops = np.array([0.002, 0.005, 0.008, 0.0102, 0.0101, 0.012, 0.009, 0.02])
    gains = np.array([0.002, 0.004, 0.006, 0.01, 0.012, 0.012, 0.012, 0.012])
    too_far = drops >= 0.01
    certified = []
    for _ in range(600):
        place = generator.random(1500)
        lost = (place[:, None] < gains + drops).sum(0)
        gained = (place[:, None] > 1 - gains).sum(0)
        steps = [Step(0, None, 1.0, math.nan)]
        for at, (a, b) in enumerate(zip(lost.tolist(), gained.tolist(), strict=True), start=1):
            counts = {"accuracy_lost": float(a), "accuracy_gained": float(b), "accuracy_same": 1500.0 - a - b}
            steps.append(Step(at, f"fc:{at}", 1.0, 0.0, counts))
        certified.append(Trace(20, steps=steps).result(stopping.certified_drop("accuracy", 0.01))[0].step)
    wrong = np.mean([step > 0 and too_far[:step].any() for step in certified])
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)
    assert np.mean(certified) > 0.5  # and it does certify something


def test_the_stop_is_the_same_number(ranked: tuple[sc.GatedLoss, Trace], tmp_path: Path) -> None:
    loss, trace = ranked
    fresh = examples(900, seed=1)
    stop = sc.stop.parse("certified_drop(accuracy, 0.03)")

    def run(folder: str, stop: sc.stop.Stop, resume: bool = False) -> sc.Result:
        path = tmp_path / folder
        return sc.prune(
            loss.model, examples(200, seed=0), stop=stop, validation=fresh, out=path, resume=resume, progress=False
        )

    result = run("whole", stop)
    assert result.step.step == sc.free(trace, loss.on(fresh), drop=0.03).removed
    counts = [result.step.metrics[f"accuracy_{count}"] for count in ("lost", "gained", "same")]
    assert sum(counts) == 900
    drop = result.trace.steps[0].metrics["accuracy"] - result.step.metrics["accuracy"]
    assert drop == pytest.approx((counts[0] - counts[1]) / 900)
    run("broken", stop)
    (tmp_path / "broken" / "events.jsonl").write_bytes(
        b"".join((tmp_path / "whole" / "events.jsonl").read_bytes().splitlines(keepends=True)[:3])
    )
    run("broken", stop, resume=True)
    assert (tmp_path / "broken" / "events.jsonl").read_bytes() == (tmp_path / "whole" / "events.jsonl").read_bytes()


def test_a_certificate_needs_examples_that_rank_nothing() -> None:
    data, stop = examples(50, seed=0), sc.stop.units(2) | sc.stop.certified_drop("accuracy", 0.1)
    with pytest.raises(OptionError, match="no validation set"):
        sc.prune(network(), data, stop=stop, progress=False)
    with pytest.raises(OptionError, match="scored examples again"):
        sc.prune(network(), data, stop=stop, validation=data, progress=False)
    stop = sc.stop.certified_drop("error", 0.1)
    with pytest.raises(UnknownNameError, match="share of right answers"):
        sc.prune(network(), data, stop=stop, validation=examples(60, seed=1), progress=False)


def test_the_examples_that_ranked_are_refused(tmp_path: Path) -> None:
    data = examples(60, seed=0)
    sc.prune(network(), data, stop=sc.stop.units(2), out=tmp_path / "run", progress=False)
    from secateur.rundir import RunDirectory

    trace = RunDirectory.read(tmp_path / "run")
    loss = sc.GatedLoss(network(), data)
    with pytest.raises(DataError, match="ranked the units"):
        sc.free(trace, loss)
    assert sc.free(trace, loss.on(examples(60, seed=5))).removed == 0  # too few to certify a point


def test_nothing_free_is_no_drop(ranked: tuple[sc.GatedLoss, Trace]) -> None:
    loss, trace = ranked
    found = sc.free(trace, loss.on(examples(30, seed=2)))
    assert (found.removed, found.drop, found.bound, len(found.tested)) == (0, 0.0, 0.0, 1)


def test_stops_at_the_first_that_is_not_certified() -> None:
    """A later step that would pass by itself does not count."""
    loss = sc.GatedLoss(network(4), examples(100, seed=0))
    trace = remove_units(loss, Random(), stopping.units(3))
    pairs = [Pairs(0, 0, 1000), Pairs(50, 0, 950), Pairs(0, 0, 1000)]
    with mock.patch("secateur.analysis.free.compare_answers", side_effect=pairs):
        found = sc.free(trace, loss.on(examples(1000, seed=4)))
    assert found.removed == 1
    assert found.tested == tuple(pairs[:2])


def test_answers_of_one_example_are_not_independent() -> None:
    model = nn.Sequential(nn.Conv1d(1, 3, 1), nn.Tanh(), nn.Conv1d(3, 2, 1)).eval()
    loss = sc.GatedLoss(model, (torch.randn(6, 1, 4), torch.randint(2, (6, 4))))
    with pytest.raises(DataError, match="4 answers for each example"):
        sc.free(remove_units(loss, Random(), stopping.units(1)), loss)
