"""The claims as they are registered, the twelve entries, and one of them from scratch."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur import data
from secateur.cli import app
from secateur.errors import OptionError, RunError
from secateur.gated import GatedLoss
from secateur.studies import store
from secateur.studies.claims import curves, run, tasks
from secateur.studies.claims.networks import Effort, network, variant
from secateur.studies.claims.page import write
from secateur.studies.claims.pictures import FIGURES
from secateur.studies.claims.registry import claims, setting
from secateur.studies.claims.remarks import REMARKS
from secateur.studies.claims.tasks import EXPERIMENTS, Task

DOCS = Path(__file__).parents[2] / "docs"
FIELDS = {
    *("id", "kind", "title", "decides", "networks", "split", "figure", "verdict", "p_holm", "parts", "beside"),
}
PART_FIELDS = {"value", "says", "threshold", "text", "seeds", "values", "estimate", "low", "high", "p", "verdict"}
SMALL = Effort(examples=100, epochs=20)


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    return json.loads((DOCS / "claims.json").read_text(encoding="utf-8"))


def test_twelve_claims_are_registered_with_what_decides_them() -> None:
    assert [claim.id for claim in claims()] == list(range(1, 13))
    assert {claim.kind for claim in claims()} == {"representation", "method"}
    for claim in claims():
        assert claim.parts
        assert claim.figure in FIGURES
        assert claim.id in REMARKS
        assert {part.experiment for part in claim.parts} <= set(EXPERIMENTS)
        assert all(part.says in ("above", "below") for part in claim.parts)
        assert {part.experiment for part in claim.parts} & set(FIGURES[claim.figure][0])


def test_the_ladder_of_claim_5_is_whole() -> None:
    found = {part.name for part in claims()[4].parts}
    assert found == {f"{net}_{t:g}" for net in ("mnist", "cosine") for t in (0.001, 0.003, 0.01, 0.03, 0.1)}


def test_the_committed_document_is_complete(committed: dict[str, Any]) -> None:
    entries = committed["claims"]
    assert [entry["id"] for entry in entries] == list(range(1, 13))
    assert committed["full"]
    assert committed["command"].startswith("secateur reproduce claims")
    for entry, claim in zip(entries, claims(), strict=True):
        assert set(entry) == FIELDS
        assert entry["verdict"] in ("holds", "fails", "partly", "undecided")
        assert (DOCS / entry["figure"]).stat().st_size < 150_000
        for part, registered in zip(entry["parts"], claim.parts, strict=True):
            assert set(part) == PART_FIELDS
            assert (part["value"], part["says"], part["threshold"]) == (
                registered.value,
                registered.says,
                registered.threshold,
            )
            assert len(part["seeds"]) == len(part["values"]) == len(set(part["seeds"])) > 0
            assert part["verdict"] == "not measurable" or any(value is not None for value in part["values"])


def test_the_committed_verdicts_follow_from_the_committed_values(committed: dict[str, Any]) -> None:
    records = {}
    for entry in committed["claims"]:
        for part in entry["parts"]:
            experiment, _, name = part["value"].partition(".")
            for seed, value in zip(part["seeds"], part["values"], strict=True):
                key = experiment, seed
                records.setdefault(key, {"experiment": experiment, "seed": seed, "values": {}})["values"][name] = value
    for again, entry in zip(run.entries(list(records.values())), committed["claims"], strict=True):
        assert again["verdict"] == entry["verdict"]
        assert again["p_holm"] == pytest.approx(entry["p_holm"], rel=1e-3)  # of values to six digits


def test_the_committed_page_is_that_of_the_committed_document(committed: dict[str, Any]) -> None:
    assert (DOCS / "claims.md").read_text(encoding="utf-8") == write(committed)


def test_claim_12_from_scratch(committed: dict[str, Any]) -> None:
    """One network of L-BFGS, and the excess of greedy over the best of all 2^20 masks, by plain sums.

    Whoever trains on another machine gets another network: that one's entry is not comparable, and the test says so.
    """
    part = committed["claims"][11]["parts"][1]
    assert part["value"] == "subset.excess_lbfgs"
    from secateur import zoo

    model = zoo.trained("cos-small", seed=part["seeds"][0], cache=False, progress=False).model.double()
    ranked = data.load("cosine").rank
    x, y = ranked.x[::5].double(), ranked.y[::5].double()
    errors = _all_masks(model, x, y)
    constant = float((y - y.mean()).square().sum() / 2)
    scale = constant - float(errors[0])
    excess = 0.0
    sizes = torch.tensor([code.bit_count() for code in range(1 << 20)])
    greedy = 0
    for size in range(21):
        best = float(errors[sizes == size].min())
        if best - float(errors[0]) <= 0.05 * scale:
            excess = max(excess, (float(errors[greedy]) - best) / scale)
        if size < 20:
            greedy = min((greedy | 1 << u for u in range(20) if not greedy >> u & 1), key=lambda code: errors[code])
    assert excess == pytest.approx(part["values"][0], rel=0.02, abs=1e-4)


def _all_masks(model: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """E of each mask, bit u of its code for unit u off: of the first layer's masks, one forward each."""
    bits = (torch.arange(1 << 10)[:, None] >> torch.arange(10) & 1).double()
    first = torch.sigmoid(x @ model.fc1.weight.T + model.fc1.bias)
    found = torch.empty(1 << 20, dtype=torch.float64)
    with torch.no_grad():
        for low in range(1 << 10):
            second = torch.sigmoid((first * (1 - bits[low])) @ model.fc2.weight.T + model.fc2.bias)
            parts = second * model.fc3.weight  # (examples, 10): what each unit gives to the output
            output = (1 - bits) @ parts.T + model.fc3.bias
            found[low + (torch.arange(1 << 10) << 10)] = (output - y[:, 0]).square().sum(1) / 2
    return found


@pytest.mark.parametrize("name", ["subset", "cost"])  # the others take longer: see claims.json
def test_every_number_that_decides_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(EXPERIMENTS[name])
    if name == "subset":
        monkeypatch.setattr(module, "best_subset", lambda loss: _fewer(loss))
    found = tasks.do(Task(name, 0, SMALL))
    wanted = {part.name for claim in claims() for part in claim.parts if part.experiment == name}
    assert wanted
    assert wanted <= set(found["values"])
    assert all(isinstance(value, float | int) for value in found["values"].values())
    json.dumps(found["curves"])


def _fewer(loss: GatedLoss) -> Any:
    """The first 8 of the units, so that it takes no time."""
    from secateur.analysis import best_subset

    return best_subset(loss, range(8))


def test_records_are_kept_and_a_damaged_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Task] = []
    monkeypatch.setattr(tasks, "do", lambda task: done.append(task) or {"experiment": "cost", "seed": 0, "values": {}})
    wanted = [Task("cost", 0), Task("cost", 1)]
    assert tasks.run(tmp_path, wanted, 1, lambda task, error: None) == []
    assert tasks.run(tmp_path, wanted, 1, lambda task, error: None) == []
    assert done == wanted
    assert len(tasks.read(tmp_path, wanted)) == 2
    (store.folder(tmp_path) / wanted[0].path).write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="delete it"):
        tasks.read(tmp_path, wanted)
    assert Task("cost", 0, SMALL).path != Task("cost", 0).path


def test_the_command_writes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(task: Task) -> dict[str, Any]:
        names = {part.name for claim in claims() for part in claim.parts if part.experiment == task.experiment}
        return {"experiment": task.experiment, "seed": task.seed, "values": dict.fromkeys(names, 0.5), "curves": {}}

    from secateur.studies.claims import pictures

    monkeypatch.setattr(tasks, "do", measured)
    monkeypatch.setattr(pictures, "draw", lambda records, folder: [])
    assert app.run(["reproduce", "claims", "--seeds", "9", "--out", str(tmp_path), "--quiet"]) == 0
    document = json.loads((tmp_path / "claims.json").read_text(encoding="utf-8"))
    assert document["command"] == "secateur reproduce claims --seeds 9"
    assert document["seeds"] == list(range(9))
    by_id = {entry["id"]: entry for entry in document["claims"]}
    assert by_id[12]["verdict"] == "holds"
    assert by_id[8]["verdict"] == "partly"
    assert "# The paper's claims" in (tmp_path / "claims.md").read_text(encoding="utf-8")


def test_claims_come_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["reproduce", "claims", "diamond", "--out", str(tmp_path)]) == 2
    assert "claims alone" in capsys.readouterr().err
    with pytest.raises(OptionError, match="seeds=0"):
        run.reproduce_claims(tmp_path, seeds=0)


def test_frozen_features_stay_as_they_were_drawn() -> None:
    from secateur import zoo

    trained = variant("diamond", 3, SMALL, frozen=True).state_dict()
    drawn = zoo.untrained("diamond", 3).state_dict()
    changed = {name for name, value in trained.items() if not torch.equal(value, drawn[name])}
    assert changed == {"fc3.weight", "fc3.bias"}


def test_reach_is_the_first_crossing() -> None:
    ranked = data.load("diamond").rank
    loss = GatedLoss(network("diamond", 0, SMALL), (ranked.x[:50], ranked.y[:50]), "sse")
    errors = curves.column(curves.prune(loss), "error")
    y = torch.nn.functional.one_hot(ranked.y[:50], 2).double()
    constant = float((y - y.mean(0)).square().sum() / 2)
    limit = errors[0] + 0.05 * (constant - errors[0])
    crossing = next((at for at, error in enumerate(errors) if error > limit), len(errors))
    assert curves.reach(loss, "oracle") == crossing - 1


def test_exponents_by_hand() -> None:
    assert curves.exponent([10, 100], [4.0, 4.0]) == 0
    assert curves.exponent([20, 100], [10.0, 50.0]) == pytest.approx(1)
    assert math.isnan(curves.exponent([20, 100], [10.0, math.nan]))


def test_a_quick_run_is_small() -> None:
    assert setting().quick_seeds <= 2
    assert run.effort(False).epochs is not None
    assert run.effort(True) == Effort()
