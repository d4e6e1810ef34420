"""Bundles that are damaged, or made to do harm: refused with a reason, and no file of them is ever run."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import secateur as sc
from secateur.errors import BundleError
from secateur.gated import GatedLoss
from secateur.io import portable, read_tensors, save_bundle
from secateur.surgery import cut_network


def factory() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double().eval()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    loss = GatedLoss(factory(), (torch.randn(5, 3, dtype=torch.float64),), "self")
    folder = tmp_path_factory.mktemp("original") / "bundle"
    return save_bundle(folder, loss.network, [1], cut_network(loss.network, [1], loss.examples.inputs))


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def replan(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """An attacker's plan.json, whose digests are right."""
    plan = json.loads((folder / "plan.json").read_text())
    change(plan)
    plan["files"].update({name: digest(folder / name) for name in plan["files"] if (folder / name).is_file()})
    (folder / "plan.json").write_text(json.dumps(plan))


class Marker:
    """A file that hostile code would make."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.code = f"open({str(path)!r}, 'w')"

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Marker]:
    found = Marker(tmp_path / "marker")
    yield found
    assert not found.path.exists(), "hostile code ran"


FORMS: list[dict[str, Any]] = [{}, {"factory": factory}]


@pytest.fixture(params=FORMS, ids=["graph", "class"])
def form(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def test_the_original_loads(folder: Path, form: dict[str, Any]) -> None:
    assert sc.load(folder, **form)(torch.ones(1, 3, dtype=torch.float64)).shape == (1, 2)


class TestFiles:
    @pytest.mark.parametrize("name", ["model.safetensors", "model.pt2", "load.py"])
    def test_missing(self, folder: Path, form: dict[str, Any], name: str) -> None:
        (folder / name).unlink()
        with pytest.raises(BundleError, match=f"{name} is missing; the bundle is damaged"):
            sc.load(folder, **form)

    def test_no_plan(self, folder: Path, form: dict[str, Any]) -> None:
        (folder / "plan.json").unlink()
        with pytest.raises(BundleError, match=r"holds no plan.json; expected a bundle"):
            sc.load(folder, **form)

    def test_no_folder(self, folder: Path) -> None:
        with pytest.raises(BundleError, match="is not a folder"):
            sc.load(folder / "plan.json")

    @pytest.mark.parametrize("name", ["model.safetensors", "model.pt2", "load.py"])
    @pytest.mark.parametrize("trust", [False, True])
    def test_altered(self, folder: Path, name: str, trust: bool, marker: Marker) -> None:
        """Whichever it is, and whichever is asked for: a bundle is whole, or it is refused."""
        file = folder / name
        file.write_bytes(file.read_bytes() + f"\n{marker.code}\n".encode())
        with pytest.raises(BundleError, match=f"{name} was altered after the bundle was written"):
            sc.load(folder, trust=trust)

    def test_one_bit_of_a_tensor(self, folder: Path, form: dict[str, Any]) -> None:
        content = bytearray((folder / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(BundleError, match="altered"):
            sc.load(folder, **form)

    def test_load_py_is_never_run(self, folder: Path, form: dict[str, Any], marker: Marker) -> None:
        """Not even one whose digest is right: it is for those who have no secateur, and read it first."""
        (folder / "load.py").write_text(f"{marker.code}\ndef load(*_, **__):\n    {marker.code}\n")
        replan(folder, lambda plan: None)
        assert sc.load(folder, **form)(torch.ones(1, 3, dtype=torch.float64)).shape == (1, 2)

    def test_other_files_are_never_opened(self, folder: Path, form: dict[str, Any], marker: Marker) -> None:
        for name in ("__init__.py", "secateur.py", "torch.py", "conftest.py"):
            (folder / name).write_text(marker.code)
        sc.load(folder, **form)

    def test_no_trusted_program(self, folder: Path) -> None:
        (folder / "model.pt2").unlink()
        replan(folder, lambda plan: plan["files"].pop("model.pt2"))
        with pytest.raises(BundleError, match=r"holds no model.pt2 of its own"):
            sc.load(folder, trust=True)


class TestPaths:
    @pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "..", ".", "", "sub/file", "a\0b"])
    def test_that_climb_out(self, folder: Path, form: dict[str, Any], name: str) -> None:
        (folder.parent / "secret").write_text("secret")
        replan(folder, lambda plan: plan["files"].update({name: hashlib.sha256(b"secret").hexdigest()}))
        with pytest.raises(BundleError, match="lies outside the bundle; don't trust this bundle"):
            sc.load(folder, **form)

    def test_a_link_to_tensors_elsewhere(self, folder: Path, form: dict[str, Any]) -> None:
        (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
        (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere.safetensors")
        with pytest.raises(BundleError, match="lies outside the bundle"):
            sc.load(folder, **form)

    def test_a_link_to_the_whole_bundle_is_fine(self, folder: Path, form: dict[str, Any]) -> None:
        (folder.parent / "link").symlink_to(folder)
        sc.load(folder.parent / "link", **form)


class TestPickles:
    def test_in_place_of_tensors(self, folder: Path, form: dict[str, Any], marker: Marker) -> None:
        torch.save({"0.weight": marker}, folder / "model.safetensors")
        replan(folder, lambda plan: None)
        with pytest.raises(BundleError, match=r"is a pickle \(torch.save\), which can run any code"):
            sc.load(folder, **form)

    @pytest.mark.parametrize("protocol", range(6))
    def test_of_any_protocol(self, tmp_path: Path, protocol: int, marker: Marker) -> None:
        file = tmp_path / "weights.safetensors"
        file.write_bytes(pickle.dumps(marker, protocol))
        with pytest.raises(BundleError, match=r"pickle|no safetensors file"):
            read_tensors(file)

    def test_of_the_old_format_of_torch(self, tmp_path: Path, marker: Marker) -> None:
        torch.save({"w": marker}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
        with pytest.raises(BundleError, match="is a pickle"):
            read_tensors(tmp_path / "w.pt")

    def test_a_safetensors_file_that_begins_like_one(self, tmp_path: Path) -> None:
        """The length of a header may well be 0x80 or 'PK': what follows tells."""
        for names in range(1, 60):
            save_file({"n" * at: torch.ones(1) for at in range(1, names)} or {"a": torch.ones(1)}, tmp_path / "x")
            read_tensors(tmp_path / "x")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="does not exist; expected a safetensors file"):
            read_tensors(tmp_path / "none")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{}",
            b"not a header at all",
            struct.pack("<Q", 1 << 62) + b"{}",
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 70) + b'{"a":{"dtype":"F64","shape":[1000000],"data_offsets":[0,8000000]}}    ',
        ],
        ids=["empty", "json", "text", "long", "list", "short"],
    )
    def test_damaged_tensors(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(BundleError, match="is no safetensors file"):
            read_tensors(tmp_path / "x")


class TestPlans:
    @pytest.mark.parametrize(
        "text",
        ["", "{", "nonsense", "\ufeff{}", '{"format": "secateur-bundle-1"', "[" * 100_000, '{"a":' * 100_000, "\x00"],
        ids=["empty", "open", "word", "mark", "cut", "deep list", "deep dict", "nul"],
    )
    def test_that_are_no_json(self, folder: Path, form: dict[str, Any], text: str) -> None:
        (folder / "plan.json").write_text(text)
        with pytest.raises(BundleError, match=r"plan.json is not JSON"):
            sc.load(folder, **form)

    def test_that_are_no_text(self, folder: Path, form: dict[str, Any]) -> None:
        (folder / "plan.json").write_bytes(b"\xff\xfe\x80")
        with pytest.raises(BundleError, match=r"plan.json is not JSON"):
            sc.load(folder, **form)

    @pytest.mark.parametrize("text", ["[]", "1", "null", '"plan"', "{}", '{"format": "secateur-bundle-2"}'])
    def test_of_another_format(self, folder: Path, form: dict[str, Any], text: str) -> None:
        (folder / "plan.json").write_text(text)
        with pytest.raises(BundleError, match=r"has format .*; this version of secateur reads 'secateur-bundle-1'"):
            sc.load(folder, **form)

    @pytest.mark.parametrize(
        "key", ["files", "network", "own_class", "whole", "learned", "added", "constants", "tied", "attributes"]
    )
    @pytest.mark.parametrize("value", [None, 1.5, "x"])
    def test_that_lack_something(self, folder: Path, form: dict[str, Any], key: str, value: Any) -> None:
        plan = json.loads((folder / "plan.json").read_text())
        plan[key] = value
        if key == "network" and value == "x":
            return
        (folder / "plan.json").write_text(json.dumps(plan))
        with pytest.raises(BundleError, match=f"plan.json lacks {key}; the bundle is damaged"):
            sc.load(folder, **form)

    @pytest.mark.parametrize("key", ["graph", "no_graph"])
    def test_without_a_graph(self, folder: Path, key: str) -> None:
        def change(plan: dict[str, Any]) -> None:
            plan.update(graph=None, no_graph="operator aten.cumsum.default is not one of them")

        replan(folder, change)
        with pytest.raises(BundleError, match=r"holds no graph \(operator aten.cumsum.default .*pass factory="):
            sc.load(folder)
        sc.load(folder, factory)

    @pytest.mark.parametrize("value", [1, [], {}, "x", {"nodes": [[1, 2, 3]]}, {"nodes": [["a", ["b"], [], {}]]}])
    def test_with_a_graph_of_nonsense(self, folder: Path, value: Any) -> None:
        replan(folder, lambda plan: plan.update(graph=value))
        with pytest.raises(BundleError):
            sc.load(folder)

    def test_deep_arguments(self, folder: Path) -> None:
        text = (folder / "plan.json").read_text()
        graph = json.loads(text)["graph"]
        deep = "[" * 900 + "]" * 900
        replan(folder, lambda plan: plan["graph"]["nodes"][0].__setitem__(2, json.loads(deep)))
        assert graph
        with pytest.raises(BundleError, match="can't be built"):
            sc.load(folder)(torch.ones(1, 3, dtype=torch.float64))


OPERATORS = [
    "aten.from_file.default",
    "aten.save.default",
    "aten.linear.default.__class__",
    "aten.linear.__class__",
    "aten.__class__.__base__",
    "aten.linear.default.__init__.__globals__",
    "aten.linear",
    "aten.",
    "aten",
    "prims.add.default",
    "torch.load",
    "load",
    "__import__",
    "attrgetter",
    "methodcaller",
    "itemgetter",
    "call",
    "eval",
    "setitem",
    "iadd",
    "__builtins__",
    "",
]


class TestOperators:
    @pytest.mark.parametrize("name", OPERATORS)
    def test_that_no_rule_covers(self, folder: Path, name: str) -> None:
        replan(folder, lambda plan: plan["graph"]["nodes"][0].__setitem__(1, name))
        with pytest.raises(BundleError, match="is not one of the"):
            sc.load(folder)

    @pytest.mark.parametrize("name", OPERATORS[2:])
    def test_load_py_refuses_what_is_no_operator(self, name: str) -> None:
        """It is shipped without the table, and refuses all that is not a plain operator of aten, or arithmetic."""
        with pytest.raises((ValueError, AttributeError)):
            portable.function(name)

    @pytest.mark.parametrize("name", ["aten.linear.default", "getitem", "add", "floordiv"])
    def test_load_py_knows_the_plain_ones(self, name: str) -> None:
        assert callable(portable.function(name))

    @pytest.mark.parametrize("name", ["load", "ops", "hub", "__dict__", "Tensor", "nn", "serialization", "nothing"])
    def test_values_that_are_no_types(self, folder: Path, name: str) -> None:
        replan(folder, lambda plan: plan["graph"]["nodes"][0][2].append({"torch": name}))
        with pytest.raises(BundleError, match="can't be built"):
            sc.load(folder)


class TestCodeInNames:
    """torch.fx writes names into the code that it runs, defaults of arguments with them."""

    def test_of_inputs(self, folder: Path, marker: Marker) -> None:
        def change(plan: dict[str, Any]) -> None:
            name = f"x={marker.code}"
            plan["graph"] = json.loads(json.dumps(plan["graph"]).replace('"input"', json.dumps(name)))
            plan["graph"]["inputs"] = [name]
            plan["graph"]["nodes"][0][2][0] = {"node": name}

        replan(folder, change)
        with pytest.raises(BundleError, match="can't be the name of an argument"):
            sc.load(folder)

    def test_of_keywords(self, folder: Path, marker: Marker) -> None:
        keywords = {"dict": {f"a={marker.code}, b": None}}
        replan(folder, lambda plan: plan["graph"]["nodes"][0].__setitem__(3, keywords))
        with pytest.raises(BundleError, match="can't be the name of an argument"):
            sc.load(folder)

    @pytest.mark.parametrize("quote", ['"', "'", "\\", "\n", ")"])
    def test_of_tensors(self, folder: Path, marker: Marker, quote: str) -> None:
        name = f"w{quote}),{marker.code.replace('.', '')}#"
        tensors = read_tensors(folder / "model.safetensors")
        save_file({**tensors, name: torch.ones(1)}, folder / "model.safetensors")
        replan(folder, lambda plan: plan["graph"]["tensors"].update(evil=name))
        with pytest.raises(BundleError, match="can't be the name of a tensor"):
            sc.load(folder)

    @pytest.mark.parametrize("name", ["lambda", "x y", "x.y", "", "1x", "x:int", "*x", "x\n"])
    def test_that_are_none(self, name: str) -> None:
        with pytest.raises(ValueError, match="can't be the name"):
            portable.word(name)


class TestFactories:
    def test_of_another_width(self, folder: Path) -> None:
        other = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
        with pytest.raises(
            BundleError, match=r"shape \(5,\), the pruned network's had \(4,\) before pruning; pass the"
        ):
            sc.load(folder, other)

    def test_of_another_class(self, folder: Path) -> None:
        with pytest.raises(BundleError, match=r"the factory's Linear has no 0.bias, 0.weight, 2.bias: another network"):
            sc.load(folder, nn.Linear(3, 2))

    def test_that_makes_no_network(self, folder: Path) -> None:
        with pytest.raises(BundleError, match=r"made a dict; expected the torch.nn.Module that was pruned"):
            sc.load(folder, dict)  # pyright: ignore

    def test_of_the_pruned_network_itself(self, folder: Path) -> None:
        with pytest.raises(BundleError, match="before pruning"):
            sc.load(folder, lambda: sc.load(folder, factory))

    @pytest.mark.parametrize(
        "change",
        [
            {"attributes": {"0": {"forward": 1}}},
            {"attributes": {"0": {"__class__": 1}}},
            {"attributes": {"0": {"out_features": "3"}}},
            {"attributes": {"0": {"out_features": True}}},
            {"attributes": {"0": 3}},
            {"attributes": {"9": {"out_features": 3}}},
            {"attributes": {"1": {"out_features": 3}}},
            {"attributes": {"": {"training": 1}}},
            {"tied": {"0.weight": "nowhere"}},
            {"tied": {"forward": "0.weight"}},
            {"added": ["0.weight"]},
            {"constants": ["0.weight", []]},
            {"learned": []},
            {"whole": {"0.weight": 3}},
        ],
        ids=str,
    )
    def test_plans_that_would_change_more_than_tensors(self, folder: Path, change: dict[str, Any]) -> None:
        made: list[nn.Module] = []

        def keep() -> nn.Module:
            made.append(factory())
            return made[-1]

        replan(folder, lambda plan: plan.update(change))
        with pytest.raises(BundleError):
            sc.load(folder, keep)
        assert repr(made[0]) == repr(factory())
        assert not set(vars(made[0][0])) & {"forward", "path"}
