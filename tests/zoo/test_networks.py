"""The networks of the zoo: names, sizes, and answers that can be worked out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from secateur import zoo
from secateur.errors import OptionError, UnknownNameError
from secateur.zoo.mlp import ACTIVATIONS, OUTPUTS


def test_mlp_names_its_layers() -> None:
    names = [name for name, _ in zoo.mlp((4, 3, 3, 2), "relu", "softmax").named_children()]
    assert names == ["fc1", "act1", "fc2", "act2", "fc3", "output"]
    assert [name for name, _ in zoo.mlp((4, 2)).named_children()] == ["fc1"]
    assert [parameter.shape for parameter in zoo.mlp().parameters()] == [(100, 400), (100,), (10, 100), (10,)]


def test_mlp_by_hand() -> None:
    net = zoo.mlp((2, 2, 1), "relu", "sigmoid")
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    # hidden: relu(1 + 2 + 1) twice, and 0 twice; the answer the sigmoid of their sum and 1
    expected = torch.sigmoid(torch.tensor([[9.0], [1.0]]))
    torch.testing.assert_close(net(torch.tensor([[1.0, 2.0], [-2.0, -3.0]])), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_mlp_activations(activation: str, output: str) -> None:
    modules = dict(zoo.mlp((2, 3, 2), activation, output).named_children())
    assert type(modules["act1"]).__name__.lower() == activation
    assert type(modules.get("output", nn.Identity())).__name__.lower() == output.replace("none", "identity")
    assert modules["act1"].__module__.startswith("torch.nn")


def test_mlp_softmax_sums_to_one() -> None:
    torch.testing.assert_close(zoo.mlp((2, 3, 4), output="softmax")(torch.randn(5, 2)).sum(1), torch.ones(5))


def test_mlp_refuses() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sigmoid'"):
        zoo.mlp(activation="sigmoit")
    with pytest.raises(UnknownNameError, match="output"):
        zoo.mlp(output="linear")
    for sizes in ((3,), (3, 0, 2)):
        with pytest.raises(OptionError, match="expected two or more"):
            zoo.mlp(sizes)
    with pytest.raises(OptionError, match=r"dropout=1\.0; expected the probability"):
        zoo.mlp(dropout=1.0)
    with pytest.raises(OptionError, match=r"readout=-1\.0; expected a standard deviation"):
        zoo.mlp(readout=-1.0)


def test_mlp_readout_begins_as_wide_as_asked() -> None:
    wide, plain = zoo.mlp((4, 1000, 9), readout=2.0), zoo.mlp((4, 1000, 9))
    assert wide.get_parameter("fc2.weight").std().item() == pytest.approx(2.0, rel=0.05)
    assert wide.get_parameter("fc1.weight").std().item() == pytest.approx(
        plain.get_parameter("fc1.weight").std().item(), rel=0.1
    )


@pytest.mark.parametrize(
    ("factory", "shape", "parameters"),
    [
        (zoo.mlp, (400,), 400 * 100 + 100 + 100 * 10 + 10),
        (zoo.lenet_300_100, (784,), 266_610),
        (zoo.lenet5, (1, 28, 28), 431_080),
        (zoo.resnet8, (1, 28, 28), 77_754),
    ],
)
def test_factories(factory: Callable[[], nn.Module], shape: tuple[int, ...], parameters: int) -> None:
    net = factory().eval()
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters
    assert net(torch.zeros(2, *shape)).shape == (2, 10)


def test_resnet8_adds_its_shortcuts() -> None:
    net = zoo.resnet8().eval()
    block = net.stage2
    assert isinstance(block, nn.Module)
    for name, parameter in block.named_parameters():
        if name.startswith("bn2"):
            nn.init.zeros_(parameter)  # nothing comes through the convolutions
    x = torch.randn(2, 16, 8, 8)
    torch.testing.assert_close(block(x), block.get_submodule("downsample")(x).relu())
    assert block(x).shape == (2, 32, 4, 4)
