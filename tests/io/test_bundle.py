"""Bundles come back as they went, in every form, with and without secateur; and hold nothing of the user's data."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import BY_NAME, Case, gated
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import secateur as sc
from secateur.errors import BundleError
from secateur.gated import GatedLoss
from secateur.io import bundle, read_tensors, save_bundle
from secateur.surgery import CutWarning, cut_network

# What the form of a bundle depends on: constants of the code, buffers, aliases, keywords, code with sizes in it.
NAMES = ("conv", "residual", "grouped", "shared", "siamese", "chunk", "waves", "layer_scale", "functional", "literal")


def saved(loss: GatedLoss, positions: list[int], folder: Path) -> nn.Module:
    """The cut network, after its bundle was written."""
    examples = loss.examples
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CutWarning)
        small = cut_network(loss.network, positions, examples.kwargs or examples.args)
    save_bundle(folder, loss.network, positions, small)
    return small


def first_of_each_site(loss: GatedLoss) -> list[int]:
    return sorted(site.units[0] for site in loss.units.sites if len(site.units) > 1)


def far(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


class Forms:
    """A case, its bundle, and the network that was pruned."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder, self.loss = case, folder, gated(case)
        self.positions = first_of_each_site(self.loss)
        self.small = saved(self.loss, self.positions, folder)
        gates = self.loss.gates()
        gates[self.positions] = 0.0
        self.expected = self.loss.outputs(gates)


@pytest.fixture(scope="module", params=NAMES)
def forms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Forms:
    return Forms(BY_NAME[request.param], tmp_path_factory.mktemp(request.param) / "bundle")


@pytest.fixture(scope="module")
def conv(tmp_path_factory: pytest.TempPathFactory) -> Forms:
    return Forms(BY_NAME["conv"], tmp_path_factory.mktemp("conv") / "bundle")


class TestReloaded:
    def test_the_files(self, forms: Forms) -> None:
        assert {file.name for file in forms.folder.iterdir()} == {
            "plan.json",
            "model.safetensors",
            "model.pt2",
            "load.py",
        }
        assert [file.name for file in forms.folder.parent.iterdir()] == ["bundle"]

    def test_the_graph(self, forms: Forms) -> None:
        net = sc.load(forms.folder)
        assert not net.training
        assert far(forms.case.answer(net, forms.case.x()), forms.expected) <= 1e-12
        learned = {name for name, _ in forms.small.named_parameters()}
        assert {name for name, _ in net.named_parameters()} == learned

    def test_the_own_class(self, forms: Forms) -> None:
        if not forms.case.whole:
            with pytest.raises(BundleError, match="without a factory"):
                sc.load(forms.folder, forms.case.model)
            return
        net = sc.load(forms.folder, forms.case.model)
        assert type(net) is type(forms.loss.model)
        assert not net.training
        assert far(forms.case.answer(net, forms.case.x()), forms.expected) <= 1e-12
        assert repr(net) == repr(forms.small)
        for (name, old), (_, new) in zip(forms.small.state_dict().items(), net.state_dict().items(), strict=True):
            assert torch.equal(old, new), name
        for (name, old), (_, new) in zip(forms.small.named_parameters(), net.named_parameters(), strict=True):
            assert type(old) is type(new), name

    def test_the_exported_program(self, forms: Forms) -> None:
        net = sc.load(forms.folder, trust=True)
        assert far(forms.case.answer(net, forms.case.inputs()), forms.expected) <= 1e-12

    @pytest.mark.parametrize("count", [1, 3, 17])
    def test_any_number_of_examples(self, forms: Forms, count: int) -> None:
        inputs = [torch.cat([x, x])[:count] for x in forms.case.inputs()]
        expected = torch.cat([forms.expected, forms.expected])[:count]
        for net in (sc.load(forms.folder), sc.load(forms.folder, trust=True)):
            assert far(forms.case.answer(net, inputs), expected) <= 1e-12

    def test_no_pickle(self, forms: Forms) -> None:
        """plan.json is text, and the tensors are safetensors: 8 bytes of length, then JSON."""
        json.loads((forms.folder / "plan.json").read_text())
        head = (forms.folder / "model.safetensors").read_bytes()
        json.loads(head[8 : 8 + int.from_bytes(head[:8], "little")])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_other_precisions(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(dtype).eval()
    loss = GatedLoss(model, (torch.randn(6, 3).to(dtype),), "self")
    small = copy.deepcopy(model) if dtype == torch.bfloat16 else cut_network(loss.network, [2], loss.examples.inputs)
    save_bundle(tmp_path / "b", loss.network, [2], small)
    net = sc.load(tmp_path / "b", lambda: copy.deepcopy(model))
    assert {t.dtype for t in net.state_dict().values()} == {dtype, torch.int64}
    gates = loss.gates()
    gates[2] = 0.0
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    for found in (net, sc.load(tmp_path / "b")):
        with torch.no_grad():
            assert far(found(loss.examples.inputs[0]).double(), loss.outputs(gates).double()) <= tolerance


def test_means_come_back_in_biases_that_were_not_there(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False)).double().eval()
    x = torch.randn(20, 3, dtype=torch.float64)
    loss = GatedLoss(model, (x,), "self", off="mean")
    small = saved(loss, [1], tmp_path / "b")
    for net in (sc.load(tmp_path / "b"), sc.load(tmp_path / "b", copy.deepcopy(model))):
        with torch.no_grad():
            assert far(net(x), small(x)) <= 1e-12
        assert net.get_submodule("2").bias is not None


def test_means_come_back_in_modules_with_two_names(tmp_path: Path) -> None:
    class Aliased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 5), nn.Linear(5, 2, bias=False)
            self.again = self.b

        def forward(self, x: Tensor) -> Tensor:
            return self.again(torch.tanh(self.a(x)))

    torch.manual_seed(0)
    loss = GatedLoss(Aliased().double().eval(), (torch.randn(6, 3, dtype=torch.float64),), "self", off="mean")
    x, small = loss.examples.inputs[0], saved(loss, [1, 3], tmp_path / "b")
    with torch.no_grad():
        assert far(sc.load(tmp_path / "b", Aliased)(x), small(x)) <= 1e-12


def test_aliases_come_back_tied(tmp_path: Path) -> None:
    """Modules with two names, one of them with buffers."""

    class Aliased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.bn, self.b, self.c = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 5), nn.Linear(5, 2)
            self.again, self.norm = self.b, self.bn

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.tanh(self.norm(self.b(torch.tanh(self.again(self.bn(self.a(x))))))))

    torch.manual_seed(0)
    model = Aliased().double().eval()
    loss = GatedLoss(model, (torch.randn(6, 3, dtype=torch.float64),), "self")
    small = saved(loss, [1, 3], tmp_path / "b")
    net: Any = sc.load(tmp_path / "b", Aliased)
    assert net.again.weight is net.b.weight
    assert net.norm.running_mean is net.bn.running_mean
    assert not isinstance(net.norm.running_mean, nn.Parameter)
    assert net.norm.num_features == 3
    x = loss.examples.inputs[0]
    with torch.no_grad():
        assert far(net(x), small(x)) <= 1e-12


@pytest.mark.parametrize(
    "shape",
    [lambda o: (o,), lambda o: (o, o * 2), lambda o: [o], lambda o: {"logits": o, "more": (o * 2, [o])}],
    ids=["tuple", "pair", "list", "dict"],
)
def test_answers_keep_their_structure(shape: Callable[[Tensor], Any], tmp_path: Path) -> None:
    class Structured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Any:
            return shape(self.b(torch.tanh(self.a(x))))

    torch.manual_seed(0)
    loss = GatedLoss(Structured().double().eval(), (torch.randn(6, 3, dtype=torch.float64),), "self")
    x, small = loss.examples.inputs[0], saved(loss, [1, 3], tmp_path / "b")
    with torch.no_grad():
        expected = small(x)
    for net in (sc.load(tmp_path / "b"), sc.load(tmp_path / "b", Structured), sc.load(tmp_path / "b", trust=True)):
        with torch.no_grad():
            answer = net(x)
        assert isinstance(answer, type(expected))
        for found, wanted in zip(tree_leaves(answer), tree_leaves(expected), strict=True):
            assert far(found, wanted) <= 1e-12


class TestWithoutSecateur:
    SCRIPT = """
import sys
sys.modules["secateur"] = None  # an import of it would fail
import torch
sys.path.insert(0, sys.argv[1])
import load
layers = torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 3)
net = load.load() if sys.argv[3] == "graph" else load.load(torch.nn.Sequential(*layers).double())
x = torch.frombuffer(bytearray(open(sys.argv[2], "rb").read()), dtype=torch.float64).view(-1, 1, 4, 4)
with torch.no_grad():
    answers = [net(x[:count]) for count in (1, 3, 17)]
assert [len(answer) for answer in answers] == [1, 3, 17]
assert not any(name.startswith("secateur.") for name in sys.modules)
print(answers[-1].tolist())
"""

    @pytest.fixture(scope="module")
    @staticmethod
    def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tensor]:
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)]
        model, x = nn.Sequential(*layers).double().eval(), torch.randn(17, 1, 4, 4, dtype=torch.float64)
        loss = GatedLoss(model, (x,), "self")
        folder = tmp_path_factory.mktemp("alone")
        small = saved(loss, [0, 2], folder / "bundle")
        (folder / "x.bin").write_bytes(x.numpy().tobytes())
        with torch.no_grad():
            return folder, small(x)

    @pytest.mark.parametrize("form", ["graph", "class"])
    def test_in_a_fresh_process(self, exported: tuple[Path, Tensor], form: str) -> None:
        folder, expected = exported
        arguments = [str(folder / "bundle"), str(folder / "x.bin"), form]
        run = subprocess.run(
            [sys.executable, "-I", "-c", self.SCRIPT, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        answer = torch.tensor(json.loads(run.stdout), dtype=torch.float64)
        assert far(answer, expected) <= 1e-12

    def test_load_py_imports_little(self, exported: tuple[Path, Tensor]) -> None:
        text = (exported[0] / "bundle" / "load.py").read_text()
        imports = {
            line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))
        }
        assert imports - set(sys.stdlib_module_names) == {"torch", "safetensors"}
        assert "pickle" not in imports


def test_no_user_data_in_any_file(tmp_path: Path) -> None:
    """Neither the example inputs that torch.export was shown, nor the targets: searched for byte by byte."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double().eval()
    x, y = torch.full((2, 4), 1234.5678901234, dtype=torch.float64), torch.full((2, 2), 8765.4321, dtype=torch.float64)
    x[1] = 31.4159265358979
    result = sc.prune(model, (x, y), loss="sse", metrics=(), stop=sc.stop.units(2), progress=False)
    save_bundle(tmp_path / "b", result.loss.network, result.units.positions(result.removed), result.model)
    needles = [np.float64(v).tobytes() for v in (1234.5678901234, 31.4159265358979, 8765.4321)]
    needles += [b"1234.567", b"31.4159", b"8765.43"]
    haystacks = {file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()}
    with zipfile.ZipFile(tmp_path / "b" / "model.pt2") as archive:
        haystacks.update({name: archive.read(name) for name in archive.namelist()})
    for name, content in haystacks.items():
        for needle in needles:
            assert needle not in content, (name, needle)
    inputs = [name for name in haystacks if "sample_inputs" in name]
    for name in inputs:
        assert len(haystacks[name]) < 2000
    exported = torch.export.load(tmp_path / "b" / "model.pt2")
    assert not exported.example_inputs or not any(exported.example_inputs[0])


class TestPlan:
    def test_tells_which_indices_stay(self, conv: Forms) -> None:
        plan = json.loads((conv.folder / "plan.json").read_text())
        removed = [conv.loss.units[at].name for at in conv.positions]
        assert plan["removed"] == removed == ["conv1:0", "conv2:0", "fc1:0"]
        assert plan["keep"]["conv1.weight"] == {"0": [1, 2, 3]}
        assert plan["keep"]["fc1.weight"] == {"0": [1, 2, 3, 4, 5], "1": list(range(4, 20))}
        assert plan["whole"]["fc1.weight"] == [6, 20]
        assert plan["attributes"]["fc1"] == {"out_features": 5, "in_features": 16}
        tensors = read_tensors(conv.folder / "model.safetensors")
        original = dict(conv.loss.model.state_dict())
        for name, dims in plan["keep"].items():
            expected = original[name]
            for dim, kept in dims.items():
                expected = expected.index_select(int(dim), torch.tensor(kept))
            assert torch.equal(tensors[name], expected), name

    def test_is_the_same_every_time(self, conv: Forms, tmp_path: Path) -> None:
        saved(conv.loss, conv.positions, tmp_path / "again")
        for name in bundle.CANONICAL[1:]:
            assert (tmp_path / "again" / name).read_bytes() == (conv.folder / name).read_bytes()
        plans = [json.loads((folder / "plan.json").read_text()) for folder in (conv.folder, tmp_path / "again")]
        for plan in plans:
            plan["files"].pop("model.pt2")  # a zip holds the time
        assert plans[0] == plans[1]


class TestWriting:
    def test_over_an_older_bundle(self, conv: Forms, tmp_path: Path) -> None:
        shutil.copytree(conv.folder, tmp_path / "b")
        (tmp_path / "b" / "notes.txt").write_text("mine")
        saved(conv.loss, [0], tmp_path / "b")
        assert json.loads((tmp_path / "b" / "plan.json").read_text())["removed"] == ["conv1:0"]

    def test_never_over_something_else(self, conv: Forms, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("three years")
        with pytest.raises(BundleError, match="exists and is no bundle; choose an empty or new folder"):
            saved(conv.loss, [0], tmp_path)
        assert (tmp_path / "thesis.tex").read_text() == "three years"

    def test_into_an_empty_folder_and_one_that_is_to_be_made(self, conv: Forms, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for folder in (tmp_path / "empty", tmp_path / "a" / "b"):
            saved(conv.loss, [0], folder)
            sc.load(folder)

    @pytest.mark.parametrize("where", ["save_file", "_export", "_digest", "_describe"])
    def test_an_error_leaves_the_old_bundle_whole(
        self, conv: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError("No space left on device")

        shutil.copytree(conv.folder, tmp_path / "b")
        monkeypatch.setattr(bundle, where, full)
        with pytest.raises(OSError, match="No space"):
            saved(conv.loss, [0], tmp_path / "b")
        monkeypatch.undo()
        assert [file.name for file in tmp_path.iterdir()] == ["b"]
        assert json.loads((tmp_path / "b" / "plan.json").read_text())["removed"] == ["conv1:0", "conv2:0", "fc1:0"]
        sc.load(tmp_path / "b")

    def test_an_error_in_the_last_rename_brings_the_old_one_back(
        self, conv: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(conv.folder, tmp_path / "b")
        rename: Callable[[Path, Any], Path] = Path.rename

        def fails(self: Path, target: Any) -> Path:
            if self.name == "bundle":
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fails)
        with pytest.raises(KeyboardInterrupt):
            saved(conv.loss, [0], tmp_path / "b")
        monkeypatch.undo()
        assert [file.name for file in tmp_path.iterdir()] == ["b"]
        assert json.loads((tmp_path / "b" / "plan.json").read_text())["removed"] == ["conv1:0", "conv2:0", "fc1:0"]

    @pytest.mark.parametrize("where", ["save_file", "_export", "_digest"])
    def test_a_kill_leaves_the_old_bundle_whole(self, conv: Forms, tmp_path: Path, where: str) -> None:
        """Killed by the system, so that nothing can be tidied up; what is left aside disturbs no later save."""
        shutil.copytree(conv.folder, tmp_path / "b")
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path / "b"), where], capture_output=True, text=True, check=False
        )
        assert killed.returncode == -9, killed.stderr
        left = sorted(file.name for file in tmp_path.iterdir())
        assert left[-1] == "b"
        assert len(left) == 2
        assert left[0].startswith(".b-")
        assert json.loads((tmp_path / "b" / "plan.json").read_text())["removed"] == ["conv1:0", "conv2:0", "fc1:0"]
        sc.load(tmp_path / "b")
        saved(conv.loss, [0], tmp_path / "b")
        assert json.loads((tmp_path / "b" / "plan.json").read_text())["removed"] == ["conv1:0"]


KILLED = f"""
import os, signal, sys
sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]!r}
from cases import BY_NAME
from secateur.gated import GatedLoss
from secateur.io import bundle
from secateur.surgery import cut_network
case = BY_NAME["conv"]
loss = GatedLoss(case.model(), case.data())
small = cut_network(loss.network, [0], case.x())
setattr(bundle, sys.argv[2], lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
bundle.save_bundle(sys.argv[1], loss.network, [0], small)
"""
