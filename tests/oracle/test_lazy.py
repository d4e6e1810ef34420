"""Lazy: exact where it is certain, honest where it is not, the same when resumed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import BY_NAME, gated
from torch import nn

import secateur as sc
from secateur import oracle
from secateur.criteria import Oracle, resolve
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.loop import remove_units
from secateur.oracle import Lazy, lazy
from secateur.ranking import removable_count
from secateur.rundir import RunDirectory
from secateur.stopping import Stop, never, units
from secateur.trace import Trace


def wide(dtype: torch.dtype = torch.float64, name: str = "cross_entropy", examples: int = 40) -> GatedLoss:
    """One hidden layer, so that every unit has bounds."""
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(6, 30), nn.Tanh(), nn.Linear(30, 4)).to(dtype).eval()
    x = torch.randn(examples, 6).to(dtype)
    y = torch.randint(4, (examples,)) if name == "cross_entropy" else torch.rand(examples, 4).to(dtype)
    return GatedLoss(model, (x, y), name)


def deep(dtype: torch.dtype = torch.float64) -> GatedLoss:
    """Two hidden layers: the first has no bounds."""
    torch.manual_seed(6)
    model = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 3)).to(dtype).eval()
    return GatedLoss(model, (torch.randn(50, 5).to(dtype), torch.randint(3, (50,))), "cross_entropy")


def run(loss: GatedLoss, engine: Any, stop: Stop | None = None) -> tuple[Trace, Any]:
    criterion = resolve("oracle", engine)
    return remove_units(loss, criterion, stop or never()), criterion


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "sse", "mse"])
@pytest.mark.parametrize("fresh", [1, 3])
def test_certified_rounds_are_the_exact_engines(name: str, fresh: int) -> None:
    """Every choice of the whole run, with fewer evaluations, and every round is counted as certain."""
    loss = wide(name=name)
    exact, _ = run(loss, "exact")
    found, criterion = run(loss, Lazy(fresh=fresh))
    assert found.removed == exact.removed
    report = criterion.report()
    assert report["certain"] == report["rounds"] == len(found.removed)
    assert report["evaluations"] < (0.6 if name == "sse" else 0.95) * report["exact_evaluations"]


def test_each_certified_choice_in_float32_agrees_with_the_reference() -> None:
    """docs/design.md, decision 3."""
    loss = wide(torch.float32)
    trace, criterion = run(loss, Lazy(fresh=2))
    gates = loss.gates()
    for step in trace.steps[1:]:
        alive = gates.nonzero().flatten()
        scores = oracle.reference(loss, gates, alive)
        chosen = int((alive == loss.units.position(step.unit)).nonzero())
        on = float(loss(gates))
        slack = loss.tolerance * (abs(on) + abs(on + float(scores.min())))
        assert float(scores[chosen]) <= float(scores.min()) + 2 * slack
        gates[alive[chosen]] = 0.0
    assert criterion.report()["certain"] == len(trace.removed)


def test_wrong_bounds_make_wrong_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: lower bounds that are too high hide the best unit."""
    loss = wide()
    honest = lazy.bounds

    def wrong(*arguments: Any) -> Any:
        found = honest(*arguments)
        return oracle.bounds.Bounds(found.lower + 1e3, found.upper, found.spread, found.error)

    monkeypatch.setattr(lazy, "bounds", wrong)
    found, _ = run(loss, Lazy(fresh=1, predictor="stale", audit=0.0))
    assert found.removed != run(loss, "exact")[0].removed


def test_uncertain_rounds_are_not_counted_as_certain() -> None:
    loss = deep()
    _, criterion = run(loss, Lazy(fresh=2, audit=0.0), units(12))
    report = criterion.report()
    assert report["certain"] == 1  # the first is measured in full
    assert report["audited"] == 0
    assert report["evaluations"] < report["exact_evaluations"] / 4


def test_audits_tell_agreement_and_regret() -> None:
    """With every round audited the tally is that of brute force beside."""
    loss = deep()
    options = Lazy(fresh=1, audit=1.0, predictor="stale")
    engine = options.begin()
    gates, agreed, regret = loss.gates(), 0, 0.0
    for number in range(15):
        alive = gates.nonzero().flatten()
        predicted = engine.scores.clone()
        scores = engine(loss, gates, alive, alive)
        expected = oracle.reference(loss, gates, alive)
        assert torch.allclose(scores, expected, rtol=0, atol=1e-11)  # an audited round is measured in full
        if number:
            lazily = int(predicted[alive].argmin())
            excess = float(expected[lazily] - expected.min())
            agreed += excess <= 1e-11
            regret += excess / float(loss(gates)) if excess > 1e-11 else 0.0
        gates[alive[expected.argmin()]] = 0.0
    report = engine.report()
    assert (report["audited"], report["agreed"]) == (14, agreed)
    assert agreed < 14
    assert math.isclose(report["regret"], regret, rel_tol=1e-9)


@pytest.mark.parametrize("predictor", ["curvature", "slope", "stale"])
def test_measured_scores_are_exact_and_others_nan(predictor: Any) -> None:
    loss = deep()
    engine = Lazy(fresh=4, audit=0.0, predictor=predictor).begin()
    gates = loss.gates()
    for unit in (3, 25, 8):
        alive = gates.nonzero().flatten()
        scores = engine(loss, gates, alive, alive)
        measured = ~scores.isnan()
        assert int(measured.sum()) == (32 if unit == 3 else 4)
        expected = oracle.reference(loss, gates, alive)
        assert torch.allclose(scores[measured], expected[measured], rtol=0, atol=1e-12)
        gates[unit] = 0.0


def test_only_what_may_be_removed_is_measured() -> None:
    loss = deep()
    alive, candidates = torch.arange(32), torch.arange(5, 30)
    scores = Lazy().begin()(loss, loss.gates(), alive, candidates)
    assert (~scores.isnan()).nonzero().flatten().tolist() == candidates.tolist()


@pytest.mark.parametrize("engine", ["lazy", "racing"])
def test_without_candidates_every_unit_is_measured(engine: str) -> None:
    """What score() asks, and Oracle("lazy") outside a run."""
    loss = deep()
    expected = oracle.exact(loss, loss.gates(), torch.arange(32))
    for criterion in (resolve("oracle", engine), Oracle(engine)):
        assert torch.equal(criterion(loss, torch.arange(32)), expected)
    values = sc.score(loss.model, loss.examples.fields, engine=engine).values
    assert torch.allclose(values, expected, rtol=0, atol=1e-12)


def test_the_predictor_finds_what_stale_scores_miss() -> None:
    """One fresh unit a round: the fresh slope and curvature lose less than scores of earlier rounds."""
    loss = deep()
    ends = {name: run(loss, Lazy(fresh=1, audit=0.0, predictor=name), units(20))[0] for name in ("curvature", "stale")}
    exact, _ = run(loss, "exact", units(20))

    def excess(trace: Trace) -> float:
        return sum(math.log(a.error / b.error) for a, b in zip(trace.steps, exact.steps, strict=True))

    assert excess(ends["curvature"]) < excess(ends["stale"])


# ------------------------------------------------------------------------------------------------ runs and resuming


@pytest.mark.parametrize("engine", ["lazy", "racing", Lazy(fresh=2, audit=0.3, predictor="stale")], ids=str)
def test_a_resumed_run_decides_as_an_unbroken_one(engine: Any, tmp_path: Path) -> None:
    """Stopped after every removal; and with rankings that were lost."""
    loss = deep()
    free = removable_count(loss.units)

    def go(path: Path, removals: int) -> tuple[Trace, Any]:
        criterion = resolve("oracle", engine, seed=3)
        with RunDirectory.open(path, {}, unit_count=len(loss.units), removable=free, resume=True) as trace:
            remove_units(loss, criterion, units(removals), trace=trace)
        return trace, criterion

    whole, unbroken = go(tmp_path / "whole", 14)
    for removals in range(1, 15):
        parts, resumed = go(tmp_path / "parts", removals)
        if removals % 5 == 0:
            for file in sorted((tmp_path / "parts" / "scores").iterdir())[-2:]:
                file.unlink()
    assert parts.to_json_lines() == whole.to_json_lines()
    assert resumed.report() == unbroken.report()


@pytest.mark.parametrize("engine", ["lazy", "racing"])
def test_state_is_json_and_comes_back(engine: str) -> None:
    loss = deep()
    first, second = oracle.begin(engine), oracle.begin(engine)
    gates = loss.gates()
    first(loss, gates, torch.arange(32), torch.arange(32))
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    gates[4] = 0.0
    alive = gates.nonzero().flatten()
    one, two = (each(loss, gates, alive, alive) for each in (first, second))
    assert torch.equal(one.nan_to_num(7.0), two.nan_to_num(7.0))
    assert first.state() == second.state()


@pytest.mark.parametrize("engine", ["lazy", "racing"])
def test_runs_share_nothing(engine: str) -> None:
    """A name, options, and even a criterion that was used before: each run begins anew."""
    loss = deep()
    assert resolve("oracle", engine).engine is not resolve("oracle", engine).engine
    used = resolve("oracle", engine)
    first = remove_units(loss, used, units(6))
    told = used.report()
    again = remove_units(loss, used, units(6))
    assert first.to_json_lines() == again.to_json_lines()
    assert used.report() == told


def test_prune_by_name(tmp_path: Path) -> None:
    loss = deep()
    options: dict[str, Any] = {"stop": units(6), "progress": False}
    for engine in ("lazy", "racing"):
        result = sc.prune(loss.model, loss.examples.fields, engine=engine, out=tmp_path / engine, **options)
        assert len(result.removed) == 6
        kept = RunDirectory.read(tmp_path / engine).ranking(5)
        assert kept is not None
        assert kept.state is not None
        assert kept.state["tally"]["rounds"] == 6


def test_options_that_mean_nothing() -> None:
    for wrong in ({"fresh": 0}, {"audit": 2.0}, {"predictor": "guess"}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            Lazy(**wrong)
    with pytest.raises(OptionError, match="pass rerank_every=1"):
        remove_units(gated(BY_NAME["relu"]), resolve("oracle", "lazy"), never(), rerank_every=None)
