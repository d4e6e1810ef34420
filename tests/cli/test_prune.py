"""secateur prune: what it writes, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import EXAMPLES, NETWORK, Call

HELD = (*EXAMPLES, "--validation", "net.py:held_out")


def test_a_run_and_all_that_is_made_of_it(call: Call, folder: Path) -> None:
    done = call("prune", *HELD, "--stop", "units(4)", "--out", "run")
    assert done.code == 0, done.err
    assert {path.name for path in (folder / "run").iterdir()} == {
        "run.json", "run.lock", "events.jsonl", "scores", "trace.csv", "report.html", "bundle",
        "curves.png", "curves.svg", "sites.png", "sites.svg",
    }  # fmt: skip
    assert {path.name for path in (folder / "run" / "bundle").iterdir()} >= {
        "plan.json",
        "model.safetensors",
        "load.py",
    }
    assert len((folder / "run" / "events.jsonl").read_text().splitlines()) == 5
    assert "4 of 11 units removed" in done.out
    assert re.search(r"units +11 +7 +63\.6%", done.out)
    assert re.search(r"parameters +83 +\d\d +\d\d\.\d%", done.out)
    assert "accuracy" in done.out
    assert "run/report.html" in done.out
    assert "run/bundle" in done.out


def test_json_is_one_strict_document_and_nothing_else(call: Call, folder: Path) -> None:
    done = call("prune", *HELD, "--stop", "units(3)", "--out", "run", "--json")
    assert done.code == 0
    assert done.json["units"] == {"before": 11, "removed": 3, "after": 8}
    assert done.json["before"]["score"] is None  # NaN
    assert len(done.json["removed"]) == 3
    assert done.json["reason"]["kind"] == "reached"
    assert all(Path(path).exists() for path in done.json["files"].values())
    assert "a factory that talks" in done.err


def test_the_python_call_removes_the_same(call: Call) -> None:
    import torch
    from torch import nn

    import secateur as sc

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 6), nn.Dropout(), nn.Sigmoid(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)
    ).eval()
    torch.manual_seed(1)
    result = sc.prune(model, (torch.randn(48, 4), torch.randint(3, (48,))), stop=sc.stop.units(5), off="mean")
    done = call("prune", *EXAMPLES, "--stop", "units(5)", "--off", "mean", "--json")
    assert done.json["removed"] == [unit.name for unit in result.removed]


def test_quiet_prints_nothing(call: Call) -> None:
    done = call("prune", *EXAMPLES, "--stop", "metric_drop(accuracy, 1.0) | units(1)", "--quiet")
    assert (done.code, done.out) == (0, "")
    assert "warning" not in done.err


def test_without_a_terminal_there_is_no_progress(call: Call) -> None:
    assert call("prune", *EXAMPLES, "--stop", "units(2)").err == "a factory that talks\n"


def test_a_stop_on_the_scored_examples_warns_in_one_line(call: Call) -> None:
    done = call("prune", *EXAMPLES, "--stop", "metric_drop(accuracy, 0.5) | units(1)")
    assert done.code == 0
    lines = [line for line in done.err.splitlines() if line.startswith("secateur: warning:")]
    assert len(lines) == 1
    assert "pass --validation" in lines[0]


def test_metrics_of_both_sets(call: Call) -> None:
    asked = ("--metrics", "accuracy", "scored_accuracy", "scored_error")
    done = call("prune", *HELD, *asked, "--stop", "units(1)", "--json")
    before = done.json["before"]["metrics"]
    assert list(before) == ["accuracy", "scored_accuracy", "scored_error"]
    alone = call("prune", *EXAMPLES, "--metrics", "accuracy,error", "--stop", "units(1)", "--json").json["before"][
        "metrics"
    ]
    assert before["scored_accuracy"] == alone["accuracy"]
    assert before["scored_error"] == alone["error"]


@pytest.mark.parametrize(
    ("stop", "why"),
    [
        ("parameters(1)", "at most 1 parameters"),
        ("units(11)", "no unit is left"),
        ("fraction(1.0) | metric_drop(accuracy, 1.0)", "no unit is left"),
        ("metric_drop(accuracy, 0.0) | bytes(8)", "at most 8 bytes"),
    ],
)
def test_a_goal_that_cannot_be_met(call: Call, stop: str, why: str) -> None:
    done = call("prune", *HELD, "--stop", stop, "--json")
    assert done.code == 3
    assert why in done.err
    assert done.json["unmet"]


def test_where_the_goal_is_not_met_the_best_result_is_written(call: Call, folder: Path) -> None:
    assert call("prune", *HELD, "--stop", "parameters(1)", "--out", "run").code == 3
    assert (folder / "run" / "bundle" / "plan.json").exists(), "the best result is still written"


@pytest.mark.parametrize("stop", ["never()", "metric_drop(accuracy, 1.0)", "error_rise(relative=1e9)"])
def test_a_run_that_only_kept_to_its_limits_is_done(call: Call, stop: str) -> None:
    assert call("prune", *HELD, "--stop", stop).code == 0


def test_without_units_in_a_site_there_is_no_bundle(call: Call, folder: Path) -> None:
    done = call("prune", *EXAMPLES, "--min-units-per-site", "0", "--out", "run", "--json")
    assert done.code == 0, done.err
    assert done.json["units"]["after"] == 0
    assert "bundle" not in done.json["files"]
    assert (folder / "run" / "report.html").exists()
    assert "no bundle" in done.err


def test_resume_extends_a_run(call: Call, folder: Path) -> None:
    first = call("prune", *HELD, "--stop", "units(2)", "--out", "run", "--json").json["removed"]
    refused = call("prune", *HELD, "--stop", "units(4)", "--out", "run")
    assert refused.code == 1
    assert "Pass --resume to go on with it" in refused.err
    more = call("prune", *HELD, "--stop", "units(4)", "--out", "run", "--resume", "--json").json["removed"]
    assert more[:2] == first
    assert len(more) == 4
    other = call("prune", *HELD, "--stop", "units(4)", "--out", "run", "--resume", "--off", "mean")
    assert other.code == 1
    assert "off was" in other.err


def test_ranked_once(call: Call, folder: Path) -> None:
    call("prune", *EXAMPLES, "--rerank-every", "none", "--stop", "units(3)", "--out", "run")
    assert len(list((folder / "run" / "scores").iterdir())) == 1
    assert json.loads((folder / "run" / "run.json").read_text())["configuration"]["rerank_every"] is None


def test_a_loss_of_ones_own(call: Call) -> None:
    done = call("prune", *EXAMPLES, "--loss", "net.py:absolute", "--stop", "units(1)", "--json")
    assert done.code == 0
    assert done.json["configuration"]["loss"] == "absolute"


class TestConfig:
    def test_options_come_from_the_file_and_the_command_line_goes_first(self, call: Call, folder: Path) -> None:
        lines = ['model = "net.py:network"', 'data = "net.py:examples"', 'rerank_every = "none"', 'off = "mean"']
        (folder / "run.toml").write_text("\n".join([*lines, 'stop = "units(2)"', "json = true", 'metrics = ["error"]']))
        done = call("prune", "--config", "run.toml", "--off", "zero")
        assert done.code == 0, done.err
        assert done.json["configuration"]["off"] == "zero"
        assert done.json["configuration"]["rerank_every"] is None
        assert list(done.json["after"]["metrics"]) == ["error"]
        assert len(done.json["removed"]) == 2

    def test_dashes_will_do(self, call: Call, folder: Path) -> None:
        (folder / "run.toml").write_text('rerank-every = 2\nstop = "units(1)"')
        assert call("prune", *EXAMPLES, "--config=run.toml", "--json").json["configuration"]["rerank_every"] == 2

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("rerank_evry = 2", "Did you mean --rerank-every?"),
            ("stop = ", "is no TOML"),
            ("[prune]\nseed = 1", "has a table [prune]"),
            ('seed = "one"', "one"),
            ('rerank_every = "never"', "never"),
        ],
    )
    def test_what_cannot_be_meant(self, call: Call, folder: Path, text: str, said: str) -> None:
        (folder / "run.toml").write_text(text)
        done = call("prune", *EXAMPLES, "--config", "run.toml")
        assert done.code == 2
        assert said in done.err

    def test_no_such_file(self, call: Call) -> None:
        done = call("prune", *NETWORK, "--config", "absent.toml")
        assert done.code == 2
        assert "absent.toml" in done.err
