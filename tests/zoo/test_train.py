"""Training: that it repeats itself, stops where it should, and says so when it cannot go on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from secateur import zoo
from secateur.data import Split, load
from secateur.errors import DataError, NonFiniteError, OptionError, UnknownNameError

SMALL = Split(*(part[:200] for part in load("mnist20", flatten=True).fit.pair))


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return zoo.mlp((400, 20, 10), output="sigmoid")


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_learns_and_records() -> None:
    model = network()
    record = zoo.train(model, SMALL, loss="sse", learning_rate=0.02, epochs=60, target=0.99)
    assert record.reached
    assert record.values[-1] >= 0.99 > max(record.values[:-1])
    assert record.epochs == len(record.values) < 60
    assert record.losses[-1] < record.losses[0] / 5
    assert not model.training
    with torch.no_grad():
        outputs = model(SMALL.x)
    assert (outputs.argmax(1) == SMALL.y).double().mean().item() == record.values[-1]
    wanted = nn.functional.one_hot(SMALL.y, 10).double()
    assert 0.5 * (outputs.double() - wanted).square().sum().item() / 200 == pytest.approx(record.losses[-1], rel=1e-12)


def test_same_seed_same_weights() -> None:
    def run(seed: int) -> torch.Tensor:
        model = network()
        torch.manual_seed(1234 + seed)  # what others drew before must not matter
        zoo.train(model, SMALL, loss="sse", epochs=2, seed=seed, threads=1)
        return weights(model)

    first = run(0)
    assert torch.equal(run(0), first)
    assert not torch.equal(run(1), first)


def test_a_second_training_follows() -> None:
    """The same as two calls, in one record, and seen by whoever looks at the epochs."""
    second = {"loss": "sse", "optimizer": "lbfgs", "learning_rate": 1.0, "epochs": 2, "threads": 1}
    seen: list[int] = []
    together, apart = network(), network()
    record = zoo.train(
        together, SMALL, loss="sse", epochs=3, threads=1, after_epoch=lambda epoch, _: seen.append(epoch), then=second
    )
    first = zoo.train(apart, SMALL, loss="sse", epochs=3, threads=1)
    last = zoo.train(apart, SMALL, **second)
    assert torch.equal(weights(together), weights(apart))
    assert seen == [1, 2, 3, 4, 5]
    assert record.losses == first.losses + last.losses
    assert record.values == first.values + last.values


def test_dropout_is_seeded_too() -> None:
    def run(before: int) -> torch.Tensor:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(400, 10))
        torch.manual_seed(before)
        zoo.train(model, SMALL, epochs=1, threads=1)
        return weights(model)

    assert torch.equal(run(1), run(2))


def test_leaves_random_numbers_and_threads_alone() -> None:
    model, state, before = zoo.mlp((400, 10)), torch.get_rng_state(), torch.get_num_threads()
    seen: list[int] = []
    try:
        torch.set_num_threads(2)
        zoo.train(
            model, SMALL, epochs=1, threads=1, after_epoch=lambda epoch, net: seen.append(torch.get_num_threads())
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == [1]
    assert torch.equal(torch.get_rng_state(), state)


def test_lbfgs_solves_least_squares() -> None:
    x = torch.linspace(-1, 1, 50)[:, None]
    model = nn.Linear(1, 1)
    line = Split(x, 3 * x - 2)
    record = zoo.train(
        model, line, loss="sse", optimizer="lbfgs", learning_rate=1.0, metric="explained", target=1 - 1e-9
    )
    assert record.reached
    assert weights(model).dtype == torch.float32
    torch.testing.assert_close(weights(model), torch.tensor([3.0, -2.0]), atol=1e-4, rtol=0)


def test_metric_that_is_better_when_lower() -> None:
    record = zoo.train(network(), SMALL, loss="sse", learning_rate=0.02, epochs=30, metric="error", target=0.3)
    assert record.reached
    assert record.values[-1] <= 0.3 < min(record.values[:-1])
    assert record.values == pytest.approx(record.losses)  # "error" is the mean of sse


def test_anneal_ends_slowly() -> None:
    def last_move(anneal: float) -> float:
        model, seen = network(), []
        zoo.train(
            model, SMALL, epochs=8, anneal=anneal, loss="sse", after_epoch=lambda epoch, net: seen.append(weights(net))
        )
        assert len(seen) == 8
        return float((seen[-1] - seen[-2]).norm() / (seen[1] - seen[0]).norm())

    assert last_move(1.0) < 0.5 * last_move(0.0)


def test_refuses() -> None:
    for options in ({"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"threads": 0}, {"anneal": 1.5}):
        with pytest.raises(OptionError, match="expected"):
            zoo.train(network(), SMALL, **options)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="weight_decay"):
        zoo.train(network(), SMALL, optimizer="lbfgs", weight_decay=0.1)
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        zoo.train(network(), SMALL, optimizer="adm")
    with pytest.raises(DataError, match="from 0 to 9; expected 0 to 4"):
        zoo.train(zoo.mlp((400, 5)), SMALL)


def test_divergence_is_an_error() -> None:
    with pytest.raises(NonFiniteError, match="after epoch 1: the training diverged"):
        zoo.train(zoo.mlp((400, 10)), SMALL, loss="sse", optimizer="sgd", learning_rate=1e30)


def test_silent_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    zoo.train(network(), SMALL, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    zoo.train(network(), SMALL, epochs=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "accuracy 0." in shown.err
    zoo.train(network(), SMALL, epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")


def test_importing_is_light() -> None:
    code = (
        "import sys, secateur.zoo; print([name for name in ('rich', 'sklearn', 'scipy.stats') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
