"""score and prune, end to end on small networks."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import BY_NAME, CASES, Case, gated
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import secateur as sc
from secateur.api import MeasuredOnScoredExamples
from secateur.costs import count_flops
from secateur.gated import Off
from secateur.surgery import CutWarning, compare
from secateur.units import Graph

PRUNABLE = [case for case in CASES if case.reads and not case.large]
SMALL = BY_NAME["relu"]


def perceptron(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)).double().eval()


def examples(count: int = 60, seed: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(count, 4).double(), torch.randint(3, (count,))


def names(result: sc.Result) -> list[str]:
    return [unit.name for unit in result.removed]


def lines(folder: Path) -> str:
    return (folder / "events.jsonl").read_text()


class TestScore:
    def test_is_the_oracle_of_the_loss(self) -> None:
        scores = sc.score(SMALL.model(), SMALL.data(), loss=SMALL.loss, engine="reference")
        loss = gated(SMALL)
        for unit, score in enumerate(scores.values.tolist()):
            gates = loss.gates()
            gates[unit] = 0.0
            assert score == pytest.approx(float(loss(gates) - loss()), abs=1e-12)
        assert [unit.name for unit in scores.units] == SMALL.names()

    def test_seeds_chance(self) -> None:
        first, again, other = (
            sc.score(perceptron(), examples(), criterion="random", seed=seed).values for seed in (0, 0, 1)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


@pytest.mark.filterwarnings("ignore::secateur.surgery.CutWarning")  # some cases' code holds sizes as numbers
class TestPrune:
    @pytest.mark.parametrize("case", PRUNABLE, ids=str)
    def test_hands_back_the_gated_network(self, case: Case) -> None:
        """Each step's error is E(g), its sizes those of the cut network, and the result equals the gates."""
        result = sc.prune(
            case.model(), case.data(), loss=case.loss, metrics=(), stop=sc.stop.fraction(0.5), progress=False
        )
        loss = gated(case)
        gates = loss.gates()
        assert float(loss(gates)) == pytest.approx(result.trace.steps[0].error, rel=1e-12)
        for step in result.trace.steps[1:]:
            before = float(loss(gates))
            gates[loss.units.position(str(step.unit))] = 0.0
            assert step.error == pytest.approx(float(loss(gates)), rel=1e-12)
            assert step.score == pytest.approx(step.error - before, abs=1e-9 * max(1.0, abs(step.error)))
        gates = loss.gates()
        gates[loss.units.positions(result.removed)] = 0.0
        assert compare(result.model, loss.network, gates, case.x()) <= 1e-12
        if case.whole:
            assert type(result.model) is type(case.model())

    @pytest.mark.parametrize("case", PRUNABLE, ids=str)
    def test_engines_remove_the_same(self, case: Case) -> None:
        runs = [
            sc.prune(case.model(), case.data(), loss=case.loss, engine=engine, metrics=(), progress=False)
            for engine in ("reference", "exact")
        ]
        assert runs[0].trace.removed == runs[1].trace.removed
        assert runs[0].trace.removed

    def test_is_greedy(self) -> None:
        loss, alive = sc.GatedLoss(perceptron(), examples()), list(range(13))
        result = sc.prune(perceptron(), examples(), stop=sc.stop.units(6), progress=False)
        for unit in result.removed:
            scores = []
            for candidate in alive:
                gates = torch.zeros(13, dtype=torch.float64)
                gates[[u for u in alive if u != candidate]] = 1.0
                scores.append(float(loss(gates)))
            assert loss.units.position(unit) == alive[int(np.argmin(scores))]
            alive.remove(loss.units.position(unit))

    def test_ranks_once_and_every_third_removal(self) -> None:
        once = sc.prune(perceptron(), examples(), rerank_every=None, stop=sc.stop.units(8), progress=False)
        first = sc.score(perceptron(), examples()).values
        allowed = list(first.argsort(stable=True).tolist())
        assert [once.units.position(u) for u in once.removed] == [
            u for u in allowed if u in {once.units.position(r) for r in once.removed}
        ]
        third = sc.prune(perceptron(), examples(), rerank_every=3, stop=sc.stop.units(8), progress=False)
        again = sc.prune(perceptron(), examples(), rerank_every=1, stop=sc.stop.units(8), progress=False)
        assert names(once)[:3] == names(third)[:3]
        assert len({tuple(names(run)) for run in (once, third, again)}) > 1

    def test_leaves_the_network_alone(self) -> None:
        model = perceptron()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        sc.prune(model, examples(), stop=sc.stop.units(5), progress=False)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())
        assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())

    def test_keeps_one_unit_a_site(self) -> None:
        result = sc.prune(perceptron(), examples(), progress=False)
        assert len(result.removed) == 11
        assert result.reason.kind == "exhausted"
        assert [layer.out_features for layer in result.model if isinstance(layer, nn.Linear)] == [1, 1, 3]

    def test_may_empty_sites_with_gates_only(self) -> None:
        result = sc.prune(perceptron(), examples(), min_units_per_site=0, progress=False)
        assert len(result.removed) == 13
        with pytest.raises(sc.errors.UnitError, match="keep one or more"):
            _ = result.model

    def test_stops_before_the_first_violation(self) -> None:
        stop = sc.stop.metric_drop("accuracy", 0.05) | sc.stop.fraction(0.9)
        result = sc.prune(perceptron(), examples(), validation=examples(80, 2), stop=stop, progress=False)
        start = result.trace.steps[0].metrics["accuracy"]
        drops = [start - step.metrics["accuracy"] for step in result.trace.steps]
        assert max(drops[: result.step.step + 1]) <= 0.05 + 1e-9
        if result.reason.kind == "violated":
            assert drops[result.step.step + 1] > 0.05
        x, y = examples(80, 2)
        assert float((result.model(x).argmax(1) == y).double().mean()) == result.step.metrics["accuracy"]

    def test_warns_where_the_ranking_examples_decide(self) -> None:
        with pytest.warns(MeasuredOnScoredExamples, match="validation"):
            sc.prune(perceptron(), examples(), stop=sc.stop.metric_drop("accuracy", 0.5), progress=False)

    def test_at_asks_another_stop_of_the_same_trace(self) -> None:
        whole = sc.prune(perceptron(), examples(), progress=False)
        early = whole.at(sc.stop.units(4))
        assert names(early) == names(whole)[:4]
        assert len(early.units) - 4 == sum(m.out_features for m in early.model if isinstance(m, nn.Linear)) - 3

    def test_goals_in_size(self) -> None:
        params = sum(p.numel() for p in perceptron().parameters())
        result = sc.prune(perceptron(), examples(), stop=sc.stop.parameters(params // 2), progress=False)
        assert sum(p.numel() for p in result.model.parameters()) == result.step.params <= params // 2
        assert result.trace.steps[result.step.step - 1].params > params // 2

    @pytest.mark.parametrize(
        ("name", "off"),
        [("conv", "zero"), ("conv", "mean"), ("depthwise", "zero"), ("grouped", "zero"), ("prelu", "mean")],
    )
    def test_sizes_of_every_step_are_those_of_the_cut_network(self, name: str, off: Off) -> None:
        """Parameters and bytes are counted in the cut module, FLOPs in a capture of it."""
        case = BY_NAME[name]
        result = sc.prune(case.model(), case.data(), loss=case.loss, off=off, metrics=(), progress=False)
        for step in result.trace.steps[::4]:
            small = result.at(sc.stop.units(step.step)).model
            tensors = [*small.parameters(), *small.buffers()]
            assert step.params == sum(p.numel() for p in small.parameters())
            assert step.bytes == sum(t.numel() * t.element_size() for t in tensors)
            flops = count_flops(Graph.trace(small, case.inputs()))
            assert step.flops == sum(flops.values())

    def test_goals_in_bytes_and_flops(self) -> None:
        for stop, size in ((sc.stop.bytes(600), "bytes"), (sc.stop.flops(90), "flops")):
            result = sc.prune(perceptron(), examples(), stop=stop, progress=False)
            assert result.reason.kind == "reached"
            before, after = (getattr(result.trace.steps[at], size) for at in (result.step.step - 1, result.step.step))
            assert after <= stop.n < before

    @pytest.mark.parametrize("stop", [sc.stop.error_rise(absolute=1.0), sc.stop.error_rise(relative=0.1)])
    def test_stops_before_the_error_rises(self, stop: sc.stop.Stop) -> None:
        network, (x, _) = perceptron(), examples()
        with torch.no_grad():
            network[4].weight *= 10.0  # sure of its answers, which are right
        result = sc.prune(network, (x, network(x).argmax(1)), stop=stop, progress=False)
        start, kept, over = (result.trace.steps[at].error for at in (0, result.step.step, result.step.step + 1))
        allowed = 1.0 if stop.absolute is not None else 0.1 * start  # pyright: ignore[reportAttributeAccessIssue]
        assert result.reason.kind == "violated"
        assert kept - start <= allowed < over - start

    def test_a_pruned_network_is_pruned_on(self, tmp_path: Path) -> None:
        """The smaller network is a network like any other, and so is one that was loaded."""
        whole = sc.prune(perceptron(), examples(), stop=sc.stop.units(6), progress=False)
        half = sc.prune(perceptron(), examples(), stop=sc.stop.units(3), progress=False)
        for network in (half.model, sc.load(half.save(tmp_path / "half"))):
            rest = sc.prune(network, examples(), stop=sc.stop.units(3), progress=False)
            assert rest.step.error == pytest.approx(whole.step.error, rel=1e-12)

    def test_in_float32(self) -> None:
        x, y = examples()
        result = sc.prune(perceptron().float(), (x.float(), y), stop=sc.stop.units(5), progress=False)
        assert {p.dtype for p in result.model.parameters()} == {torch.float32}
        error = torch.nn.functional.cross_entropy(result.model(x.float()).double(), y, reduction="sum").item()
        assert result.step.error == pytest.approx(error, rel=1e-6)


class TestData:
    def test_one_answer_for_every_way_to_give_it(self) -> None:
        x, y = examples()
        ways = {
            "tensors": (x, y),
            "arrays": (x.numpy(), y.numpy()),
            "dataset": TensorDataset(x, y),
            "loader": DataLoader(TensorDataset(x, y), batch_size=7),
            "batches": list(zip(x.split(11), y.split(11), strict=True)),
            "dicts": {"input": x, "labels": y},
        }
        scores = {way: sc.score(perceptron(), data).values for way, data in ways.items()}
        assert all(torch.equal(found, scores["tensors"]) for found in scores.values())

    def test_self_needs_no_labels(self) -> None:
        x, _ = examples()
        result = sc.prune(perceptron(), x, loss="self", stop=sc.stop.units(3), progress=False)
        assert result.trace.steps[0].error == 0.0
        with torch.no_grad():
            distance = float((perceptron()(x) - result.model(x)).square().sum() / 2)
        assert result.step.error == pytest.approx(distance, rel=1e-9)

    def test_users_own_functions(self) -> None:
        def loss(output: Tensor, batch: tuple[Tensor, Tensor]) -> Tensor:
            return (output - batch[0][:, :3]).abs().sum(1)

        def criterion(loss: sc.GatedLoss, alive: Tensor) -> Tensor:
            return -alive.double()

        def spread(outputs: Tensor, targets: Tensor) -> float:
            return float(outputs.std())

        x, y = examples()
        result = sc.prune(
            perceptron(),
            (x, y),
            loss=loss,
            criterion=criterion,
            metrics=(spread,),
            stop=sc.stop.units(3),
            progress=False,
        )
        assert names(result) == ["2:5", "2:4", "2:3"]
        with torch.no_grad():
            answers = result.model(x)
        assert result.step.metrics["spread"] == pytest.approx(float(answers.std()), rel=1e-9)
        assert result.step.error == pytest.approx(float((answers - x[:, :3]).abs().sum()), rel=1e-9)

    def test_keywords_from_data_to_bundle(self, tmp_path: Path) -> None:
        """Inputs by name, also by one that Python has a function of, through code that holds sizes as numbers."""

        class Network(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(16, 3)

            def forward(self, input: Tensor, *, shift: Tensor) -> tuple[Tensor, Tensor]:
                answer = self.fc(torch.relu(self.conv(input + shift)).view(-1, 16))
                return answer, answer.softmax(1)

        torch.manual_seed(0)
        inputs = {"shift": torch.randn(9, 1, 1, 1).double(), "input": torch.randn(9, 1, 4, 4).double()}
        data = {**inputs, "labels": torch.randint(3, (9,))}
        with pytest.warns(CutWarning):
            result = sc.prune(Network().double().eval(), data, stop=sc.stop.units(2), progress=False)
        folder = result.save(tmp_path / "bundle")
        for net in (result.model, sc.load(folder), sc.load(folder, trust=True)):
            answers = net(**inputs)
            assert isinstance(answers, tuple)
            for answer, expected in zip(answers, result.model(**inputs), strict=True):
                assert torch.allclose(answer, expected, rtol=1e-12, atol=1e-12)


class TestRunDirectory:
    @pytest.mark.parametrize("rerank_every", [1, 3, None])
    def test_a_resumed_run_decides_as_an_unbroken_one(self, tmp_path: Path, rerank_every: int | None) -> None:
        def run(folder: str, units: int, resume: bool = False) -> sc.Result:
            return sc.prune(
                perceptron(),
                examples(),
                validation=examples(30, 3),
                rerank_every=rerank_every,
                stop=sc.stop.units(units),
                out=tmp_path / folder,
                resume=resume,
                progress=False,
            )

        unbroken = run("unbroken", 9)
        run("broken", 2)
        run("broken", 5, resume=True)
        resumed = run("broken", 9, resume=True)
        assert lines(tmp_path / "broken") == lines(tmp_path / "unbroken")
        assert names(resumed) == names(unbroken)
        assert len(lines(tmp_path / "broken").splitlines()) == 10

    @pytest.mark.parametrize("off", ["zero", "mean"])
    def test_one_that_was_interrupted_goes_on(self, tmp_path: Path, off: Off) -> None:
        def interrupt(step: sc.Step) -> None:
            if step.step == 4:
                raise KeyboardInterrupt

        def run(folder: str, **options: Any) -> sc.Result:
            return sc.prune(perceptron(), examples(), off=off, out=tmp_path / folder, **options)

        unbroken = run("unbroken", progress=False)
        with pytest.raises(KeyboardInterrupt):
            run("broken", progress=interrupt)
        assert len(lines(tmp_path / "broken").splitlines()) == 5
        resumed = run("broken", progress=False, resume=True)
        assert lines(tmp_path / "broken") == lines(tmp_path / "unbroken")
        assert names(resumed) == names(unbroken)

    def test_two_runs_in_one_directory(self, tmp_path: Path) -> None:
        def second(step: sc.Step) -> None:
            with pytest.raises(sc.errors.RunLockedError, match=f"another run is in .*: pid {os.getpid()} on"):
                sc.prune(perceptron(), examples(), out=tmp_path / "run", resume=True, progress=False)

        sc.prune(perceptron(), examples(), out=tmp_path / "run", stop=sc.stop.units(1), progress=second)
        with pytest.raises(sc.errors.RunError, match=r"holds a run of 1 removals\. Pass resume=True"):
            sc.prune(perceptron(), examples(), out=tmp_path / "run", progress=False)

    def test_refuses_another_configuration(self, tmp_path: Path) -> None:
        sc.prune(perceptron(), examples(), stop=sc.stop.units(1), out=tmp_path / "run", progress=False)
        for change in ({"criterion": "taylor1"}, {"off": "mean"}, {"tile": 7}, {"loss": "sse"}):
            options = {"stop": sc.stop.units(1), "out": tmp_path / "run", "resume": True, "progress": False, **change}
            with pytest.raises(sc.errors.RunMismatchError, match=next(iter(change))):
                sc.prune(perceptron(), examples(), **options)
        with pytest.raises(sc.errors.RunMismatchError, match="weights"):
            sc.prune(
                perceptron(5), examples(), stop=sc.stop.units(1), out=tmp_path / "run", resume=True, progress=False
            )

    def test_holds_what_was_done(self, tmp_path: Path) -> None:
        result = sc.prune(perceptron(), examples(), stop=sc.stop.units(2), out=tmp_path / "run", progress=False)
        described = json.loads((tmp_path / "run" / "run.json").read_text())["configuration"]
        assert described["criterion"] == "oracle"
        assert described["engine"] == "exact"
        assert described["examples"] == 60
        assert [len(site["units"]) for site in described["sites"]] == [7, 6]
        steps = [json.loads(line) for line in lines(tmp_path / "run").splitlines()]
        assert [step["unit"] for step in steps] == [None, *names(result)]
        assert all({"step", "unit", "error", "score", "metrics"} <= step.keys() for step in steps)


class TestResult:
    def test_report_plot_and_bundle(self, tmp_path: Path) -> None:
        result = sc.prune(perceptron(), examples(), stop=sc.stop.units(4), progress=False)
        page = result.report(tmp_path / "report.html").read_text()
        assert "4 of 13 units removed" in page
        assert "<svg" in page
        assert result.plot().axes
        folder = result.save(tmp_path / "bundle")
        assert {file.name for file in folder.iterdir()} == {
            "plan.json", "model.safetensors", "model.pt2", "load.py", "report.html",
        }  # fmt: skip
        x, _ = examples()
        for net in (sc.load(folder), sc.load(folder, lambda: perceptron(9)), sc.load(folder, trust=True)):
            assert torch.allclose(net(x), result.model(x), rtol=1e-12, atol=1e-12)

    def test_off_mean_prunes_with_less_harm(self) -> None:
        x, _ = examples()
        zero, mean = (
            sc.prune(perceptron(), x, loss="self", off=off, stop=sc.stop.units(8), progress=False)
            for off in ("zero", "mean")
        )
        assert mean.step.error < zero.step.error
        with torch.no_grad():
            distance = float((mean.model(x) - perceptron()(x)).square().sum() / 2)
        assert distance == pytest.approx(mean.step.error, rel=1e-9)

    def test_gain_curves_are_of_the_units_about_to_go(self) -> None:
        result = sc.prune(perceptron(), examples(), stop=sc.stop.units(6), progress=False)
        curves = result.gain_curves(every=2)
        assert [curve["step"] for curve in curves] == [0, 2, 4]
        assert [curve["unit"] for curve in curves] == [names(result)[at] for at in (0, 2, 4)]
        for curve, (before, after) in zip(
            curves, [itertools.islice(result.trace.steps, at, at + 2) for at in (0, 2, 4)], strict=True
        ):
            errors = dict(zip(curve["gains"], curve["errors"], strict=True))
            assert errors[1.0] == pytest.approx(before.error, rel=1e-9)
            assert errors[0.0] == pytest.approx(after.error, rel=1e-9)
