"""The demo, on a network that is pruned in a moment."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from secateur import demo as demo_module
from secateur import stopping
from secateur.data import Split, Splits
from secateur.demo import Demo, Subject
from secateur.errors import SecateurError
from secateur.zoo import Trained, TrainingRecord, mlp

from .conftest import Call

CRITERIA = ("oracle", "random")


def subject() -> Subject:
    """3-6-3; the targets are what it says, so its accuracy begins at 1."""
    torch.manual_seed(0)
    model = mlp((3, 6, 3), "tanh", output="sigmoid").eval()
    model.get_parameter("fc2.bias").data.zero_()

    def split(count: int) -> Split:
        x = torch.randn(count, 3)
        return Split(x, model(x).argmax(1))

    fit = split(80)
    return Subject(model, Splits(fit, fit, split(60), split(40)))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Subject:
    """The demo with that network and two criteria."""
    found = subject()
    monkeypatch.setattr(demo_module, "subject", lambda seed=0, progress=True: (found, 0.0))
    monkeypatch.setattr(Demo, "__init__", _with_two(Demo.__init__))
    return found


def _with_two(init):  # pyright: ignore[reportMissingParameterType]
    def made(self: Demo, *values: object, **named: object) -> None:
        init(self, *values, **{"criteria": CRITERIA, **named})

    return made


def test_all_that_it_writes_and_says(call: Call, folder: Path, short: Subject) -> None:
    done = call("demo", "--out", "d")
    assert done.code == 0, done.err
    for name in ("table.md", "table.csv", "table.json", "curves.png", "curves.svg", "gains.png", "gains.svg"):
        assert (folder / "d" / name).stat().st_size > 0
    runs = {path.name for path in (folder / "d" / "runs").iterdir()}
    assert runs == {f"{criterion}-{schedule}" for criterion in CRITERIA for schedule in ("iterative", "single")}
    for run in runs:
        path = folder / "d" / "runs" / run
        assert (path / "bundle" / "plan.json").exists()
        assert "by criterion" in (path / "report.html").read_text()
        steps = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
        assert len(steps) == 6, "until one unit is left"
        assert all(set(step["metrics"]) == {"accuracy", "scored_accuracy"} for step in steps)
    assert "accuracy 1.0000 in training" in done.out
    assert "curves.png" in done.out
    assert "oracle-iterative/report.html" in done.out
    assert "random removes" in done.out

    again = call("demo", "--out", "d")
    assert again.code == 0, again.err
    assert "4 of 4 runs were finished already" in again.out

    (folder / "d" / "runs" / "random-single" / "events.jsonl").write_text("")
    third = call("demo", "--out", "d", "--json").json
    assert (third["runs"], third["runs_made"]) == (4, 1)


def test_the_table_is_the_last_step_before_the_first_violation(folder: Path) -> None:
    made = Demo(folder, subject(), criteria=("oracle",))
    made.prune("oracle", "iterative", 1)
    made.write_table()
    share = made.shares[0]
    steps = made.results["oracle", "iterative"].trace.steps
    for name, shares in (("scored_accuracy", share.training), ("accuracy", share.held_out)):
        for points, found in zip((0.01, 0.05), shares, strict=True):
            first = next(s.step for s in steps if steps[0].metrics[name] - s.metrics[name] > points + 1e-9)
            assert found == (first - 1) / 6
    row = next(csv.DictReader((folder / "table.csv").read_text().splitlines()))
    assert float(row["training_0.05"]) == share.training[1]
    assert json.loads((folder / "table.json").read_text())[0]["held_out"] == list(share.held_out)
    assert f"| {100 * share.training[1]:.0f}% |" in (folder / "table.md").read_text()
    assert made.results["oracle", "iterative"].stop == stopping.metric_drop("accuracy", 0.01)


def test_a_network_that_did_not_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = Trained(mlp((400, 4, 10), "sigmoid", "sigmoid"), TrainingRecord("accuracy", (1.0,), (0.1,), False))
    monkeypatch.setattr(demo_module, "trained", lambda *_, **__: poor)
    with pytest.raises(SecateurError, match="Take another --seed"):
        demo_module.subject()
