"""Every peer is asked the same question as the oracle, and leaves the network as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from secateur import oracle, zoo
from secateur.baselines import PEERS, CaptumAblation, GradientPass, PlainLoop, resolve
from secateur.baselines.passes import batches, sizes
from secateur.baselines.places import places
from secateur.errors import OptionError, UnknownNameError
from secateur.gated import GatedLoss
from secateur.zoo.resnet import ResidualBlock

NETWORKS = {
    "mlp": lambda: zoo.mlp((6, 7, 5, 3), "relu"),
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    ),
    "residual": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), ResidualBlock(4, 4), ResidualBlock(4, 6, 2), nn.Flatten(), nn.Linear(24, 3)
    ),
}
SHAPES = {"mlp": (6,), "convolutions": (1, 6, 6), "residual": (1, 6, 6)}


class Functional(nn.Module):
    """Units that are read by no layer of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Linear(2, 3), nn.Parameter(torch.randn(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.first(x).relu(), self.weight)


@pytest.fixture(params=NETWORKS)
def loss(request: pytest.FixtureRequest) -> GatedLoss:
    torch.manual_seed(3)
    model = NETWORKS[request.param]().double().eval()
    x = torch.randn(70, *SHAPES[request.param], dtype=torch.float64)
    return GatedLoss(model, (x, torch.randint(3, (70,))), "cross_entropy", tile=32)


def within(loss: GatedLoss, found: torch.Tensor, wanted: torch.Tensor) -> bool:
    on = float(loss.per_example().abs().sum())
    return bool(((found - wanted).abs() <= 10 * loss.tolerance * (2 * on + wanted.abs())).all())


@pytest.mark.parametrize("peer", ["plain", "captum"])
def test_the_scores_are_the_oracles(loss: GatedLoss, peer: str) -> None:
    units = torch.arange(len(loss.units)).flip(0)[::3]
    wanted = oracle.reference(loss, loss.gates(), units)
    made = PEERS[peer](loss)
    found = made(units)
    asked = ~found.isnan()
    assert asked.any()
    assert within(loss, found[asked], wanted[asked])
    assert asked.all() == (not made.note)
    assert bool(made.note) == (peer == "captum" and isinstance(loss.model[1], ResidualBlock))


def test_captum_with_every_setting(loss: GatedLoss) -> None:
    made, units = CaptumAblation(loss), torch.arange(len(loss.units))
    wanted = made(units)
    asked = ~wanted.isnan()
    for batch, at_once in ((7, 1), (64, 2), (33, 3), (70, 100)):
        found = made._scores(units, batches(loss, batch), at_once)
        assert within(loss, found[asked], wanted[asked])


def test_one_backward_pass_gives_the_first_order(loss: GatedLoss) -> None:
    made, units = GradientPass(loss), torch.tensor([2, 0, 5])
    torch.testing.assert_close(made(units), -loss.gradient()[units], rtol=1e-9, atol=1e-9)
    assert made.forwards(units) == 1


@pytest.mark.parametrize("peer", PEERS)
def test_nothing_is_left_behind(loss: GatedLoss, peer: str) -> None:
    before = copy.deepcopy(loss.model.state_dict())
    PEERS[peer](loss)(torch.tensor([0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in loss.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in loss.model.parameters())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in loss.model.modules())


def test_weights_come_back_after_an_error(loss: GatedLoss, monkeypatch: pytest.MonkeyPatch) -> None:
    made, before = PlainLoop(loss), copy.deepcopy(loss.model.state_dict())
    calls = []

    def fail_second(*_: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return torch.zeros(())

    monkeypatch.setattr("secateur.baselines.plain.error", fail_second)
    with pytest.raises(KeyboardInterrupt):
        made(torch.tensor([0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in loss.model.state_dict().items())


def test_forwards_are_counted(loss: GatedLoss) -> None:
    calls = []
    hook = loss.model.register_forward_hook(lambda *_: calls.append(1))
    for peer in ("plain", "captum"):
        made = PEERS[peer](loss)
        if peer == "captum":
            made.tiles, made.at_once = batches(loss, len(loss.examples)), 1
        else:
            made.tiles = batches(loss, len(loss.examples))
        for units in (torch.arange(len(loss.units)), torch.tensor([1, 4])):
            calls.clear()
            made(units)
            assert made.forwards(units) == len(calls), peer
    hook.remove()


def test_batch_sizes() -> None:
    model = zoo.mlp((2, 3, 2)).eval()

    def of(count: int) -> list[int]:
        return sizes(GatedLoss(model, (torch.zeros(count, 2), torch.zeros(count, dtype=torch.int64))))

    assert of(1) == [1]
    assert of(64) == [64]
    assert of(65) == [64, 65]
    assert of(1000) == [64, 128, 256, 512, 1000]


def test_batches_hold_all_examples_once(loss: GatedLoss) -> None:
    tiles = batches(loss, 33)
    assert [(tile.start, tile.stop) for tile in tiles] == [(0, 33), (33, 66), (66, 70)]
    assert torch.equal(torch.cat([tile.inputs[0] for tile in tiles]), loss.examples.inputs[0])


def test_refusals() -> None:
    model = zoo.mlp((2, 3, 2), "relu").eval()
    data = torch.rand(4, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(OptionError, match="off='zero'"):
        places(GatedLoss(model, data, off="mean"))
    with pytest.raises(OptionError, match="a loss with a name"):
        PlainLoop(GatedLoss(model, data, lambda output, batch: output.square().sum(1)))
    with pytest.raises(OptionError, match="a Functional; the peers work on"):
        PlainLoop(GatedLoss(Functional().eval(), data))
    with pytest.raises(UnknownNameError, match="captum"):
        resolve("captumm")


def test_without_captum_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "captum", None)
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    model = zoo.mlp((2, 3, 2), "relu").eval()
    with pytest.raises(OptionError, match=r"secateur\[peers\]"):
        CaptumAblation(GatedLoss(model, (torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))))
