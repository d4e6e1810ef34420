"""A study from configuration to figures: whole, killed and resumed, in shards, and what is drawn."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from secateur.cli import run
from secateur.errors import OptionError, RunError, UnknownNameError
from secateur.plots.study import draw_study
from secateur.studies import reproduce as module
from secateur.studies import store, tables
from secateur.studies.draw import draw
from secateur.studies.jobs import jobs_of
from secateur.studies.plan import Study
from secateur.studies.reproduce import Wanted, merge, reproduce
from secateur.trace import Step

ROOT = Path(__file__).parents[2]


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a reproduction, by its place."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_from_nothing_to_figures(study: Study, tmp_path: Path) -> None:
    told = []
    outcome = reproduce(Wanted(), tmp_path, told=lambda job, error: told.append(str(job)))
    assert (outcome.made, outcome.kept, outcome.waiting, outcome.failed) == (4, 0, 0, [])
    assert told[0] == "tiny, off = zero, seed 0"
    names = {f"figures/{name}.{suffix}" for name in study.names for suffix in ("png", "csv")}
    assert names | {"plan.json", "agreement.json", "agreement.csv"} <= set(files(tmp_path))
    for job, record in store.read(tmp_path, jobs_of([study])):
        assert record["examples"] == {"rank": 40, "report": 40}
        assert [(one["criterion"], one["schedule"]) for one in record["runs"]] == [
            (criterion, schedule) for schedule in study.schedules for criterion in study.criteria
        ]
        for one in record["runs"]:
            assert len(one["error"]) == 21
            assert len(set(one["removed"])) == 20
        assert len(record["gains"]) == (10 if job.seed == 0 else 0)


def test_formats(study: Study, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # in all formats, that is
    made = draw(study, store.read(whole, jobs_of([study])), tmp_path, ["tiny"])
    assert made == [tmp_path / "tiny.csv"]
    assert {path.name for path in tmp_path.glob("tiny.*")} == {
        f"tiny.{suffix}" for suffix in ("png", "svg", "pdf", "csv")
    }


def test_what_is_there_is_kept_and_figures_need_nothing_else(
    study: Study, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(whole)
    for path in (whole / "figures").iterdir():
        path.unlink()
    monkeypatch.setattr("secateur.studies.pool.do", lambda job: pytest.fail("it trains again"))
    outcome = reproduce(Wanted(), whole)
    assert (outcome.made, outcome.kept) == (0, 4)
    assert files(whole) == before


def test_shards_merge_to_the_same(study: Study, whole: Path, tmp_path: Path) -> None:
    parts = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for at, part in enumerate(parts, start=1):
        reproduce(Wanted(), part, shard=f"{at}/3")
    assert [len(list(part.glob("jobs/*/*"))) for part in parts] == [2, 1, 1]
    outcome = merge(parts, tmp_path / "merged")
    assert outcome.waiting == 0
    assert files(tmp_path / "merged") == files(whole)


def test_processes_give_the_same(study: Study, whole: Path, tmp_path: Path) -> None:
    reproduce(Wanted(), tmp_path / "two", processes=2)
    assert files(tmp_path / "two") == files(whole)


def test_a_killed_run_goes_on(study: Study, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    started = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "studies" / "killed.py"), str(out)],
        env={**os.environ, "PYTHONPATH": paths},
    )
    try:
        deadline = time.monotonic() + 120
        while not list(out.glob("jobs/*/*.json")) and time.monotonic() < deadline:
            assert started.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
    finally:
        started.send_signal(signal.SIGKILL)
        started.wait()
    there = len(list(out.glob("jobs/*/*.json")))
    assert 0 < there < 4
    outcome = reproduce(Wanted(), out)
    assert (outcome.kept, outcome.made) == (there, 4 - there)
    assert {name: text for name, text in files(out).items() if not name.endswith(".aside")} == files(whole)


def test_the_csv_holds_what_the_figure_shows(study: Study, whole: Path) -> None:
    figure = study.figures[0]
    rows = tables.panels(study, figure, store.read(whole, jobs_of([study])))
    axes = draw_study(rows, title="").axes
    with (whole / "figures" / "tiny.csv").open() as file:
        table = list(csv.DictReader(file))
    shown = 0
    for place, panel in zip(axes, (panel for row in rows for panel in row), strict=True):
        for line in place.lines:
            label, _, paper = str(line.get_gid()).partition(", the ")
            if label.startswith("_") or label == "None":
                continue
            kept = [
                (float(row["removed"]), float(row["value"]))
                for row in table
                if (row["condition"], row["quantity"], row["criterion"]) == (panel.row, panel.quantity, label)
                and row["curve"] == (paper or "mean")
                and (not paper or float(row["value"]) > 0)
            ]
            assert np.allclose(np.column_stack([line.get_xdata(), line.get_ydata()]), kept, rtol=1e-8)
            shown += 1
    # Two conditions, two quantities, two criteria; and the paper's curves over the first quantity.
    assert shown == 2 * 2 * 2 + 2 * 2
    assert {row["curve"] for row in table} == {"mean", "low", "high", "network 0", "network 1", "paper"}


def test_records_are_what_the_loop_finds(study: Study, whole: Path) -> None:
    """One run again, by hand: nothing is lost between the trace and the record."""
    from secateur import criteria, data, stopping, zoo
    from secateur.data import Split
    from secateur.gated import GatedLoss
    from secateur.loop import remove_units

    job = jobs_of([study])[1]
    assert job.condition.off == "mean"
    splits = data.load("cosine")
    model = zoo.trained("cos-small", seed=0, progress=False, training={"epochs": 1}).model
    loss = GatedLoss(model, Split(splits.rank.x[:40], splits.rank.y[:40]).pair, "sse", off="mean")
    steps: list[Step] = list(
        remove_units(loss, criteria.resolve("taylor1"), stopping.never(), 7, min_units_per_site=0).steps
    )
    ((_, record),) = store.read(whole, [job])
    (kept,) = [one for one in record["runs"] if (one["criterion"], one["schedule"]) == ("taylor1", "iterative-rerank")]
    assert kept["removed"] == [step.unit for step in steps[1:]]
    assert np.allclose(kept["error"], [step.error for step in steps], rtol=1e-12)


def test_one_failure_stops_no_other(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from secateur.studies import pool

    do = pool.do

    def sometimes(job):  # pyright: ignore[reportMissingParameterType]
        if job.seed == 0:
            raise RunError("no luck")
        return do(job)

    monkeypatch.setattr(pool, "do", sometimes)
    outcome = reproduce(Wanted(), tmp_path)
    assert outcome.failed == ["tiny, off = zero, seed 0: no luck", "tiny, off = mean, seed 0: no luck"]
    assert (outcome.made, outcome.waiting) == (2, 2)
    assert (tmp_path / "figures" / "tiny.png").exists()
    assert not (tmp_path / "figures" / "tiny-gt-gain.png").exists()


def test_names() -> None:
    wanted = Wanted(("mnist-acc99-single-pass", "diamond"))
    assert [study.name for study in wanted.studies] == ["diamond", "mnist-acc99"]
    assert wanted.figures(wanted.studies[1]) == ["mnist-acc99-single-pass"]
    with pytest.raises(UnknownNameError, match="Did you mean 'diamond'"):
        Wanted(("diamod",))
    with pytest.raises(OptionError, match="seeds=0"):
        Wanted(seeds=0)


def test_studies_without_their_data_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECATEUR_MNIST", str(tmp_path / "nowhere"))
    outcome = reproduce(Wanted(("lenet-5",)), tmp_path / "out")
    assert "no file train-images" in outcome.skipped["lenet-5"]
    assert (outcome.made, outcome.waiting) == (0, 0)


def test_merge_refuses_what_does_not_belong_together(study: Study, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"holds no plan\.json"):
        merge([whole, tmp_path / "empty"], tmp_path / "merged")
    reproduce(Wanted(seeds=1), tmp_path / "other")
    with pytest.raises(RunError, match="parts of different reproductions"):
        merge([whole, tmp_path / "other"], tmp_path / "merged")


def test_damaged_records_are_named(study: Study, whole: Path) -> None:
    path = next(whole.glob("jobs/*/*.json"))
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RunError, match=r"is damaged .*delete it"):
        reproduce(Wanted(), whole)


def test_the_command(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["reproduce", "tiny", "--seeds", "1", "--out", "r", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["made"], document["failed"]) == (2, [])
    assert document["agreement"]["tiny (off = mean)"]["oracle"]["ours"]["error_grows_tenfold"]["networks"] == 1
    assert run(["reproduce", "merge", "r", "--out", "m"]) == 0
    told = capsys.readouterr().out
    assert "4 figures in" in told or "3 figures in" in told
    assert (tmp_path / "m" / "agreement.json").read_bytes() == (tmp_path / "r" / "agreement.json").read_bytes()
    assert run(["reproduce", "tinny"]) == 2
    assert "Did you mean 'tiny'" in capsys.readouterr().err
    assert run(["reproduce", "merge"]) == 2
    assert run(["reproduce", "tiny", "--shard", "3/2"]) == 2
    assert module.ALL == "all"


def test_networks_that_learnt_nothing_are_in_no_figure(study: Study, whole: Path) -> None:
    (job, record), *_ = store.read(whole, jobs_of([study]))
    for found in record["runs"]:
        found["error"] = found["error"][::-1]
    store.write(whole, job, record)
    outcome = reproduce(Wanted(), whole)
    assert outcome.left_out == [str(job)]
    assert outcome.waiting == 0
    with (whole / "figures" / "tiny.csv").open(encoding="utf-8") as file:
        curves = {(row["condition"], row["curve"]) for row in csv.DictReader(file)}
    assert ("off = zero", "network 0") in curves
    assert ("off = zero", "network 1") not in curves
    assert ("off = mean", "network 1") in curves
