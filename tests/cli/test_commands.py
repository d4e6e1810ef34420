"""score, surface, report, verify and export."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from secateur.io import bundle

from .conftest import EXAMPLES, NETWORK, Call


class TestScore:
    def test_json_and_csv_have_all_units_lowest_first(self, call: Call, folder: Path) -> None:
        done = call("score", *EXAMPLES, "--json", "--csv", "scores/oracle.csv")
        scores = [unit["score"] for unit in done.json["units"]]
        assert len(scores) == 11
        assert scores == sorted(scores)
        rows = list(csv.DictReader((folder / "scores" / "oracle.csv").read_text().splitlines()))
        assert [(row["unit"], float(row["score"])) for row in rows] == [
            (unit["unit"], unit["score"]) for unit in done.json["units"]
        ]
        assert done.json["refused"], "the outputs are no units"

    def test_the_table_is_cut_short_and_says_so(self, call: Call) -> None:
        whole = [unit["unit"] for unit in call("score", *EXAMPLES, "--json").json["units"]]
        done = call("score", *EXAMPLES, "--limit", "2")
        assert whole[0] in done.out
        assert whole[2] not in done.out
        assert "and 9 more" in done.out

    def test_what_is_not_measured_is_null_and_last(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        from secateur import criteria

        def half(loss: object, alive: torch.Tensor) -> torch.Tensor:
            return torch.where(alive % 2 == 0, torch.nan, -alive.double())

        monkeypatch.setitem(criteria.CRITERIA, "half", half)
        scores = [unit["score"] for unit in call("score", *EXAMPLES, "--criterion", "half", "--json").json["units"]]
        assert scores == [-9.0, -7.0, -5.0, -3.0, -1.0] + [None] * 6


class TestSurface:
    def test_named_units(self, call: Call, folder: Path) -> None:
        done = call("surface", *EXAMPLES, "--units", "0:1", "3:2", "--points", "5", "--out", "gains", "--json")
        assert done.code == 0, done.err
        curves = {
            curve["unit"]: dict(zip(curve["gains"], curve["errors"], strict=True)) for curve in done.json["curves"]
        }
        assert list(curves) == ["0:1", "3:2"]
        assert list(curves["0:1"]) == [0.0, 1.0, 2.5, 5.0, 7.5, 10.0]
        assert curves["0:1"][1.0] == pytest.approx(curves["3:2"][1.0])  # the network as it is
        scores = {unit["unit"]: unit["score"] for unit in call("score", *EXAMPLES, "--json").json["units"]}
        assert curves["0:1"][0.0] - curves["0:1"][1.0] == pytest.approx(scores["0:1"], rel=1e-4, abs=1e-5)
        assert {path.name for path in (folder / "gains").iterdir()} == {
            "gains.png",
            "gains.svg",
            "gains.csv",
            "gains.json",
        }
        rows = list(csv.DictReader((folder / "gains" / "gains.csv").read_text().splitlines()))
        assert len(rows) == 12
        assert json.loads((folder / "gains" / "gains.json").read_text())["curves"] == done.json["curves"]

    def test_the_first_to_go_each_with_those_before_it_off(self, call: Call) -> None:
        removed = call("prune", *EXAMPLES, "--stop", "units(3)", "--json").json["removed"]
        curves = call("surface", *EXAMPLES, "--first", "3", "--points", "3", "--json").json["curves"]
        assert [(curve["unit"], curve["step"]) for curve in curves] == [(name, at) for at, name in enumerate(removed)]
        assert curves[1]["errors"][1] == pytest.approx(curves[0]["errors"][0])  # 1 with the first off is 0 of the first

    @pytest.mark.parametrize(("words", "code"), [(("--units", "0:99"), 1), (("--most-gain", "0"), 2)])
    def test_refuses(self, call: Call, words: tuple[str, ...], code: int) -> None:
        assert call("surface", *EXAMPLES, *words).code == code


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four removals, made once."""
    from secateur.cli import run

    from .conftest import FACTORY

    folder = tmp_path_factory.mktemp("kept")
    (folder / "net.py").write_text(FACTORY)
    model, data = ("--model", f"{folder}/net.py:network"), ("--data", f"{folder}/net.py:examples")
    held = ("--validation", f"{folder}/net.py:held_out")
    assert run([*("prune", *model, *data, *held, "--stop", "units(4)", "--quiet", "--out"), str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def made(kept: Path, folder: Path) -> Path:
    """A copy of that run."""
    shutil.copytree(kept, folder / "run")
    return folder / "run"


class TestReport:
    def test_is_made_again_without_the_network(self, call: Call, made: Path, folder: Path) -> None:
        (made / "report.html").unlink()
        (folder / "net.py").unlink()
        done = call("report", "run")
        assert done.code == 0, done.err
        assert "4 of 11 units removed" in done.out
        assert "4 of 11 units removed" in (made / "report.html").read_text()

    def test_another_stop_and_place(self, call: Call, made: Path, folder: Path) -> None:
        before = (made / "report.html").read_bytes()
        done = call("report", "run", "--stop", "units(2)", "--out", "pages/two.html", "--json")
        assert done.json["result_step"] == 2
        assert "2 of 11 units removed" in (folder / "pages" / "two.html").read_text()
        assert (made / "report.html").read_bytes() == before

    def test_others_beside(self, call: Call, made: Path, folder: Path) -> None:
        done = call("prune", *EXAMPLES, "--criterion", "random", "--stop", "units(4)", "--out", "other", "--quiet")
        assert done.code == 0
        assert call("report", "run", "other").code == 0
        assert "by criterion" in (made / "report.html").read_text()
        assert ">random<" in (made / "report.html").read_text()

    def test_a_run_whose_stop_was_the_users_own(self, call: Call, made: Path) -> None:
        described = json.loads((made / "run.json").read_text())
        described["configuration"]["stop"] = "<__main__.Mine object>"
        (made / "run.json").write_text(json.dumps(described))
        done = call("report", "run")
        assert done.code == 0
        assert "the stop of the run is unknown" in done.err

    def test_no_run(self, call: Call, folder: Path) -> None:
        done = call("report", "absent")
        assert done.code == 1
        assert "holds no run" in done.err


class TestVerify:
    def test_a_bundle_that_is_right(self, call: Call, made: Path) -> None:
        done = call("verify", "run/bundle", *EXAMPLES, "--json")
        assert done.code == 0, done.err
        assert done.json["removed"] == 4
        assert set(done.json["differences"]) == {"captured graph", "class Sequential"}
        assert max(done.json["differences"].values()) <= 1e-5

    def test_other_numbers_are_a_mismatch(self, call: Call, made: Path) -> None:
        file, plan_file = made / "bundle" / "model.safetensors", made / "bundle" / "plan.json"
        tensors = load_file(file)
        tensors["5.bias"] += 0.01
        save_file(tensors, file)
        assert call("verify", "run/bundle", *EXAMPLES).code == 1, "the bundle was altered after it was written"
        plan = json.loads(plan_file.read_text())
        plan["files"]["model.safetensors"] = bundle._digest(file)
        plan_file.write_text(json.dumps(plan))
        done = call("verify", "run/bundle", *EXAMPLES)
        assert done.code == 4
        assert "differ" in done.err


class TestExport:
    def test_is_the_bundle_that_prune_wrote(self, call: Call, made: Path, folder: Path) -> None:
        done = call("export", "run", *EXAMPLES, "--out", "again")
        assert done.code == 0, done.err
        first, second = (load_file(path / "model.safetensors") for path in (made / "bundle", folder / "again"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_another_stop(self, call: Call, made: Path, folder: Path) -> None:
        assert call("export", "run", *EXAMPLES, "--stop", "units(1)", "--out", "one", "--json").json["removed"] == 1
        assert len(json.loads((folder / "one" / "plan.json").read_text())["removed"]) == 1

    def test_other_weights_or_data_are_refused(self, call: Call, made: Path, folder: Path) -> None:
        done = call("export", "run", *NETWORK, "--data", "net.py:held_out", "--out", "again")
        assert done.code == 1
        assert "other data" in done.err
        (folder / "net.py").write_text((folder / "net.py").read_text().replace("manual_seed(0)", "manual_seed(9)"))
        (folder / "net.py").rename(folder / "net9.py")
        done = call("export", "run", "--model", "net9.py:network", "--data", "net9.py:examples", "--out", "again")
        assert done.code == 1
        assert "other weights" in done.err
        assert not (folder / "again").exists()
