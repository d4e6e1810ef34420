"""Networks by name, with the data that can be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from secateur import data
from secateur.bench import make_subject, subjects
from secateur.data import Split, Splits
from secateur.errors import DataError, OptionError, UnknownNameError


@pytest.fixture
def no_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECATEUR_MNIST", str(tmp_path / "nowhere"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Training that only counts itself."""
    calls: list[int] = []

    def train(model, split, **options):
        calls.append(len(split))
        with torch.no_grad():
            next(model.parameters()).fill_(0.125)

    monkeypatch.setattr("secateur.zoo.train", train)
    return calls


@pytest.mark.usefixtures("no_mnist")
def test_without_mnist_the_shipped_digits_are_framed() -> None:
    flat = make_subject("lenet-300-100", 30, weights="untrained")
    assert (flat.data, len(flat.loss.units), len(flat.loss.examples)) == ("mnist20, padded to 28x28", 400, 30)
    images = make_subject("lenet-5", 30, weights="untrained").loss.examples.inputs[0]
    assert images.shape == (30, 1, 28, 28)
    assert images[:, :, :4].abs().sum() == 0
    torch.testing.assert_close(images[:, :, 4:24, 4:24], data.load("mnist20").fit.x[:30])
    assert torch.equal(images.flatten(1), flat.loss.examples.inputs[0])


def test_mnist_is_taken_where_it_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    half = Split(torch.rand(20, 784), torch.arange(20) % 10)
    monkeypatch.setattr("secateur.data.load", lambda name, **options: Splits(half, half, half, half))
    assert make_subject("lenet-300-100", 10, weights="untrained").data == "mnist"


@pytest.mark.usefixtures("fresh_cache", "no_mnist")
def test_trained_weights_are_kept(quick: list[int]) -> None:
    first = make_subject("mlp:400-3-10", 10)
    again = make_subject("mlp:400-3-10", 20)
    assert quick == [5000], "trained once, on all that there is"
    assert first.weights == "trained, seed 0"
    for one, other in zip(first.loss.model.parameters(), again.loss.model.parameters(), strict=True):
        assert torch.equal(one, other)
    make_subject("mlp:400-3-10", 10, seed=1)
    make_subject("mlp:784-3-10", 10)
    assert len(quick) == 3


def test_random_data_is_not_trained_on() -> None:
    made = make_subject("mlp:5-4-3", 11)
    assert made.record() == {
        "network": "mlp:5-4-3",
        "units": 4,
        "examples": 11,
        "loss": "cross_entropy",
        "data": "random",
        "weights": "untrained, seed 0, since the data is random",
    }
    same = make_subject("mlp:5-4-3", 11)
    assert float(same.loss()) == float(made.loss())


def test_examples_come_again_where_there_are_too_few() -> None:
    made = make_subject("mlp:64-3-10", 3000, weights="untrained")
    inputs = made.loss.examples.inputs[0]
    assert made.data == "digits, its 1,197 examples repeated"
    assert torch.equal(inputs[1197:2394], inputs[:1197])
    assert len(inputs) == 3000


def test_a_recipe_has_its_own_loss_and_number_of_examples() -> None:
    assert make_subject("cos-small", weights="untrained").loss.loss == "sse"
    assert subjects.DEFAULTS["lenet-300-100"] == 10_000


@pytest.mark.parametrize(
    ("name", "error"), [("mlp:5", OptionError), ("mlp:5-x", OptionError), ("lenet", UnknownNameError)]
)
def test_names_that_are_none(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        make_subject(name, 5)
    with pytest.raises(OptionError, match="0 examples"):
        make_subject("mlp:2-2-2", 0)


def test_other_missing_data_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name, **options):
        raise DataError("nothing there")

    monkeypatch.setattr("secateur.data.load", none)
    with pytest.raises(DataError, match="nothing there"):
        make_subject("mlp:400-3-10", 5, weights="untrained")
