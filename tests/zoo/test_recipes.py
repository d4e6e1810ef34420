"""Recipes and the cache of what was trained."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from secateur import data, zoo
from secateur.errors import BundleError, UnknownNameError
from secateur.zoo import recipes


@pytest.mark.parametrize("name", zoo.RECIPES)
def test_recipes_name_what_exists(name: str) -> None:
    chosen = zoo.RECIPES[name]
    assert set(chosen.training) <= set(inspect.signature(zoo.train).parameters)
    assert chosen.data in data.DATASETS
    model = zoo.untrained(name)
    assert not model.training
    if chosen.data == "mnist":
        x = torch.zeros(2, 784) if chosen.data_options.get("flatten") else torch.zeros(2, 1, 28, 28)
    else:
        x = data.load(chosen.data, **chosen.data_options).fit.x[:2]
    assert len(model(x)) == 2


def test_untrained_is_seeded() -> None:
    def first(seed: int) -> torch.Tensor:
        return next(zoo.untrained("cos-small", seed).parameters())

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe that trains in no time."""
    chosen = recipes.Recipe(
        "mlp",
        "diamond",
        {"sizes": (2, 4, 2)},
        {"examples": 20},
        {"epochs": 2, "threads": 1},
    )
    monkeypatch.setattr(recipes, "RECIPES", {"quick": chosen})
    return "quick"


def test_cached(quick: str, fresh_cache: Path) -> None:
    first = zoo.trained(quick, seed=3)
    (path,) = (fresh_cache / "zoo").iterdir()
    assert path.name.startswith("quick-3-")
    assert set(load_file(path)) == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
    again = zoo.trained(quick, seed=3)
    assert again.record == first.record
    for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    # Was it read, and not trained again? Then a change of the file shows.
    tampered = {name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}
    recipes.save_file(tampered, path, metadata=_metadata(path))
    assert all(not parameter.any() for parameter in zoo.trained(quick, seed=3).model.parameters())


def _metadata(path: Path) -> dict[str, str]:
    with recipes.safe_open(path, framework="pt") as file:
        return file.metadata()


def test_training_anew_gives_the_same(quick: str, tmp_path: Path) -> None:
    kept = zoo.trained(quick, cache=tmp_path / "elsewhere")
    anew = zoo.trained(quick, cache=False)
    assert [path.parent.name for path in tmp_path.rglob("*.safetensors")] == ["elsewhere"]
    for one, other in zip(kept.model.parameters(), anew.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_another_configuration_is_another_file(quick: str, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.trained(quick)
    zoo.trained(quick, seed=1)
    changed = recipes.Recipe("mlp", "diamond", {"sizes": (2, 4, 2)}, {"examples": 20}, {"epochs": 3, "threads": 1})
    monkeypatch.setattr(recipes, "RECIPES", {"quick": changed})
    assert zoo.trained(quick).record.epochs == 3
    assert len(list((fresh_cache / "zoo").iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncate", "key", "shape"])
def test_damaged_files_are_named(quick: str, fresh_cache: Path, damage: str) -> None:
    zoo.trained(quick)
    (path,) = (fresh_cache / "zoo").iterdir()
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "key":
        recipes.save_file(load_file(path), path, metadata=_metadata(path) | {"key": "{}"})
    else:
        recipes.save_file({"fc1.weight": torch.zeros(1)}, path, metadata=_metadata(path))
    with pytest.raises(BundleError, match="delete it"):
        zoo.trained(quick)


def test_unknown() -> None:
    for function in (zoo.trained, zoo.untrained):
        with pytest.raises(UnknownNameError, match="Did you mean 'diamond'"):
            function("diamon")


def test_demo_network() -> None:
    """The one training at full length; the other tests of the session find it in the cache."""
    model = zoo.demo_network()
    splits = data.load("mnist20", flatten=True)
    assert [name for name, _ in model.named_children()] == ["fc1", "act1", "fc2", "output"]
    with torch.no_grad():
        right = [(model(part.x).argmax(1) == part.y).double().mean().item() for part in (splits.fit, splits.report)]
    assert right[0] >= 0.99
    assert right[1] >= 0.92
    assert zoo.trained("mnist-acc99").record.values[-1] == pytest.approx(right[0])
