"""One table of networks that feeds all tests, each with what a human works out of it: its units and who reads them.

`reads` is that hand-made answer: for each layer that makes units, the index of every unit there and, for unit i, the
columns of the weights that read it. A test that zeroes those columns in a copy of the network has switched the unit off
without a line of secateur. Where `refused` names a layer, its units must be refused for a reason that holds these
words.

    for case in CASES:
        model, data = case.model(), case.data()          # evaluation mode, seeded, float64
        model, data = case.model(torch.float32), case.data(torch.float32)
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur import zoo
from secateur.errors import NoUnitsError
from secateur.gated import GatedLoss
from secateur.units import Graph
from secateur.zoo.resnet import ResidualBlock

Columns = Callable[[int], Mapping[str, Sequence[int]]]
"""index of a unit in its layer -> {name of a weight that reads it: the columns there}"""


@dataclass(frozen=True, eq=False)
class Case:
    """A network, its data, and what is known of it by hand.

    `shapes`: of one example of each input. `keywords`: where the inputs are given by name. `smooth`: E(g) is twice
    differentiable, so that central differences apply. `sites`: where the units of one layer stand in several. `whole`:
    the user's own module can be cut; False where its code holds sizes as numbers, so that only the graph can.
    """

    name: str
    network: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    outputs: int
    loss: str = "cross_entropy"
    reads: Mapping[str, tuple[Sequence[int], Columns]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    sites: Sequence[tuple[str, Sequence[int]]] | None = None
    keywords: tuple[str, ...] = ()
    smooth: bool = True
    whole: bool = True
    examples: int = 10
    large: bool = False

    def __str__(self) -> str:
        return self.name

    def model(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(sum(map(ord, self.name)))
            return _trained(self.network()).to(dtype).eval()

    @cache  # noqa: B019 - the table lives as long as the tests
    def inputs(self, dtype: torch.dtype = torch.float64, examples: int | None = None) -> tuple[Tensor, ...]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1 + sum(map(ord, self.name)))
            count = self.examples if examples is None else examples
            return tuple(torch.randn(self.examples, *s, dtype=torch.float64)[:count].to(dtype) for s in self.shapes)

    @cache  # noqa: B019
    def target(self, dtype: torch.dtype = torch.float64, examples: int | None = None) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2 + sum(map(ord, self.name)))
            count = self.examples if examples is None else examples
            if self.loss == "cross_entropy":
                return torch.randint(self.outputs, (self.examples,))[:count]
            return torch.rand(self.examples, self.outputs, dtype=torch.float64)[:count].to(dtype)

    def data(self, dtype: torch.dtype = torch.float64, examples: int | None = None) -> Any:
        """What GatedLoss, score and prune take."""
        inputs, target = self.inputs(dtype, examples), self.target(dtype, examples)
        return {**dict(zip(self.keywords, inputs, strict=True)), "y": target} if self.keywords else (*inputs, target)

    def x(self, dtype: torch.dtype = torch.float64, examples: int | None = None) -> Any:
        """What cut and verify take."""
        inputs = self.inputs(dtype, examples)
        return dict(zip(self.keywords, inputs, strict=True)) if self.keywords else inputs

    def answer(self, model: nn.Module, x: Any) -> Tensor:
        """The plain network's answer."""
        with torch.no_grad():
            return model(**x) if isinstance(x, Mapping) else model(*x)

    def names(self) -> list[str]:
        """The units, worked out by hand."""
        return [f"{layer}:{index}" for layer, (indices, _) in self.reads.items() for index in indices]

    def columns(self, unit: str) -> Mapping[str, Sequence[int]]:
        """The weights' columns that read the unit of this name."""
        layer, _, index = unit.rpartition(":")
        return self.reads[layer][1](int(index))


def scaled(model: nn.Module, columns: Iterable[Mapping[str, Sequence[int]]], factor: float) -> nn.Module:
    """A copy of the network in which these columns of these weights are multiplied: gates, without secateur."""
    twin = copy.deepcopy(model)
    parameters = dict(twin.named_parameters())
    with torch.no_grad():
        for of_unit in columns:
            for name, indices in of_unit.items():
                parameters[name][:, list(indices)] *= factor
    return twin


def switched_off(model: nn.Module, columns: Iterable[Mapping[str, Sequence[int]]]) -> nn.Module:
    """A copy of the network in which these columns of these weights are zero: brute force, without secateur."""
    return scaled(model, columns, 0.0)


def _trained(model: nn.Module) -> nn.Module:
    """Running statistics and affine parameters that are not those of a fresh BatchNorm, and biases that matter."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.running_mean, 0.0, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.5)
    return model


def same(weight: str) -> Columns:
    """Unit i is column i of this weight."""
    return lambda i: {weight: [i]}


def several(*weights: str) -> Columns:
    """Unit i is column i of each of these weights."""
    return lambda i: {weight: [i] for weight in weights}


def flattened(weight: str, positions: int) -> Columns:
    """Unit i is a whole channel of `positions` columns, behind a flatten."""
    return lambda i: {weight: range(positions * i, positions * (i + 1))}


# --------------------------------------------------------------------------------------------------- the networks


class ConvNet(nn.Module):
    """Convolutions with batch norm, pooling, a flatten and two dense layers; images of 2x10x10."""

    def __init__(self, activation: type[nn.Module], pool: type[nn.Module]) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 5, 2, bias=False), nn.BatchNorm2d(5)
        self.act, self.pool = activation(), pool(2)
        self.fc1, self.fc2 = nn.Linear(5 * 2 * 2, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        x = self.pool(self.act(self.bn2(self.conv2(x))))
        return self.fc2(self.act(self.fc1(torch.flatten(x, 1))))


class Residual(nn.Module):
    """A stem, a straight block and one with a downsample branch: the stem's channels are read in three places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.block1, self.block2 = ResidualBlock(4, 4), ResidualBlock(4, 6, stride=2)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        return self.fc(self.block2(self.block1(x)).mean((2, 3)))


class DenseBlock(nn.Module):
    """Concatenation: every layer reads all that came before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 1), nn.Conv2d(7, 2, 1)
        self.fc = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.tanh(self.conv1(x))
        b = torch.tanh(self.conv2(a))
        ab = torch.cat((a, b), 1)
        c = torch.tanh(self.conv3(ab))
        return self.fc(torch.cat([ab, c], dim=1).mean((2, 3)))


class Depthwise(nn.Module):
    """A depthwise convolution that makes two channels of each."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.depth, self.bn = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 3, groups=4), nn.BatchNorm2d(8)
        self.project, self.fc = nn.Conv2d(8, 5, 1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.silu(self.bn(self.depth(functional.silu(self.expand(x)))))
        return self.fc(functional.silu(self.project(x)).mean(dim=(-2, -1)))


class Grouped(nn.Module):
    """A grouped convolution: all channels of a group are one unit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.grouped = nn.Conv2d(2, 6, 1), nn.Conv2d(6, 4, 3, groups=2)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.grouped(torch.tanh(self.conv(x)))).mean((2, 3)))


class Shared(nn.Module):
    """One module, called twice in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.shared(torch.tanh(self.shared(torch.tanh(self.first(x)))))))


class Siamese(nn.Module):
    """Two inputs through one module."""

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.last(torch.tanh(self.tower(left)) - 2 * torch.tanh(self.tower(right)))


class Split(nn.Module):
    """One layer's neurons, told apart by split."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.left, self.right = nn.Linear(5, 6), nn.Linear(2, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.fc(x).split([2, 4], dim=1)
        return self.left(torch.sigmoid(a)) + self.right(torch.tanh(b))


class Chunk(nn.Module):
    """A gated linear unit: neuron i and its gate, neuron i + 4, go together."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 8), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(value * torch.sigmoid(gate))


class Unbind(nn.Module):
    """Pairs of neurons, added: each pair is a unit."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = torch.tanh(self.fc1(x)).reshape(-1, 3, 2).unbind(2)
        return self.fc2(left + right.square())


class Tokens(nn.Module):
    """A linear layer on each of four tokens, a 1-D convolution over them, and a slice that drops channel 0."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.conv, self.fc = nn.Linear(5, 6), nn.Conv1d(6, 4, 2), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.embed(x)).permute(0, 2, 1)
        x = torch.tanh(self.conv(x))[:, 1:]
        return self.fc(x.flatten(1))


class Interleave(nn.Module):
    """Neurons that change places on the way to their reader: transpose, roll, flip and select."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.fc1(x)).unflatten(1, (2, 3)).transpose(1, 2).flatten(1)
        x = torch.tanh(self.fc2(x)).roll(1, 1).flip(1)
        return self.fc3(torch.stack((x, x), 2).select(2, 1))


class SqueezeExcite(nn.Module):
    """Channels that are multiplied by gates computed from them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 1), nn.Linear(5, 3)
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.gelu(self.conv1(x))
        gate = torch.sigmoid(self.up(functional.gelu(self.down(functional.adaptive_avg_pool2d(x, 1)))))
        x = functional.gelu(self.conv2(x * gate))
        return self.fc(x.mean((2, 3)))


class LayerScale(nn.Module):
    """A residual stream with a learned scale for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down, self.head = nn.Linear(4, 5), nn.Linear(5, 7), nn.Linear(7, 5), nn.Linear(5, 3)
        self.gamma = nn.Parameter(torch.linspace(0.5, 1.5, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.gamma * self.down(functional.gelu(self.up(x))))


class Functional(nn.Module):
    """No layers, only parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(6))
        self.w2 = nn.Parameter(torch.randn(3, 6))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(torch.tanh(functional.linear(x, self.w1, self.b1)), self.w2)


class Waves(nn.Module):
    """Element-wise code: sines, constants that the code makes, powers, clamps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)
        self.register_buffer("frequency", torch.linspace(0.5, 2.0, 5))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.sin(self.fc1(x) * self.frequency) + torch.tensor(0.25, dtype=x.dtype)
        k = self.fc2(h) ** 2 / 4 - torch.exp(-self.fc2(h).abs() - 1)
        return self.fc3(torch.sqrt(k.square() + 1))


class PReLU(nn.Module):
    """A slope for each neuron, and one for all."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 3)
        self.each, self.all = nn.PReLU(5), nn.PReLU()
        nn.init.uniform_(self.each.weight, 0.1, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.all(self.fc2(self.each(self.fc1(x)))))


class Upsampling(nn.Module):
    """Padding, interpolation and a pixel shuffle, which makes one channel of four."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(1, 3, 2), nn.Conv2d(3, 8, 1), nn.Conv2d(2, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(torch.tanh(self.conv1(x)), (1, 0, 0, 1))
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv3(functional.pixel_shuffle(torch.tanh(self.conv2(x)), 2)).mean((2, 3))


class InputSkip(nn.Module):
    """x + f(x): what f's last layer makes is added to the input, whose size can't change."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(x + self.fc2(torch.tanh(self.fc1(x))))


class Normalised(nn.Module):
    """LayerNorm over units, and a softmax over others."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 5)
        self.fc3, self.fc4 = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.fc2(self.norm(self.fc1(x))))
        return self.fc4(torch.softmax(self.fc3(x), dim=1))


class NoRule(nn.Module):
    """A cumulative sum over neurons: no rule covers it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(torch.tanh(self.fc2(self.fc1(x).cumsum(1))))


class Literal(nn.Module):
    """Code that holds a size as a number: the module itself can't be cut, its graph can."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 3, 2), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.conv(x)).view(-1, 12))


def ones(*sizes: int) -> nn.Sequential:
    """Linear layers of ones without bias: everything about it is worked out in one's head."""
    layers = [nn.Linear(n, m, bias=False) for n, m in itertools.pairwise(sizes)]
    for layer in layers:
        nn.init.ones_(layer.weight)
    return nn.Sequential(*layers)


# ------------------------------------------------------------------------------------------------------ the table

_DENSE = {
    "conv1": (range(4), lambda i: {"conv2.weight": [i], "conv3.weight": [i], "fc.weight": [i]}),
    "conv2": (range(3), lambda i: {"conv3.weight": [4 + i], "fc.weight": [4 + i]}),
    "conv3": (range(2), lambda i: {"fc.weight": [7 + i]}),
}
_CONV = {
    "conv1": (range(4), same("conv2.weight")),
    "conv2": (range(5), flattened("fc1.weight", 4)),
    "fc1": (range(6), same("fc2.weight")),
}
_TWO_HIDDEN = {"fc1": (range(6), same("fc2.weight")), "fc2": (range(7), same("fc3.weight"))}

CASES: tuple[Case, ...] = (
    Case("sigmoid", lambda: zoo.mlp((5, 6, 7, 3), "sigmoid", "sigmoid"), ((5,),), 3, "sse", _TWO_HIDDEN),
    Case("relu", lambda: zoo.mlp((5, 6, 7, 3), "relu"), ((5,),), 3, reads=_TWO_HIDDEN, smooth=False),
    Case("gelu", lambda: zoo.mlp((5, 6, 7, 3), "gelu"), ((5,),), 3, reads=_TWO_HIDDEN),
    Case("softmax", lambda: zoo.mlp((5, 6, 7, 3), "tanh", "softmax"), ((5,),), 3, "mse", _TWO_HIDDEN),
    Case("bce", lambda: zoo.mlp((5, 6, 7, 3), "softplus"), ((5,),), 3, "bce", _TWO_HIDDEN),
    Case("conv", lambda: ConvNet(nn.ReLU, nn.MaxPool2d), ((2, 10, 10),), 3, reads=_CONV, smooth=False),
    Case("conv_smooth", lambda: ConvNet(nn.GELU, nn.AvgPool2d), ((2, 10, 10),), 3, reads=_CONV),
    Case(
        "residual",
        Residual,
        ((1, 6, 6),),
        3,
        reads={
            "stem": (
                range(4),
                several("block1.conv1.weight", "block2.conv1.weight", "block2.downsample.conv.weight"),
            ),
            "block1.conv1": (range(4), same("block1.conv2.weight")),
            "block2.conv1": (range(6), same("block2.conv2.weight")),
            "block2.conv2": (range(6), same("fc.weight")),
        },
        smooth=False,
    ),
    Case("dense", DenseBlock, ((2, 5, 5),), 3, reads=_DENSE),
    Case(
        "depthwise",
        Depthwise,
        ((2, 5, 5),),
        3,
        reads={
            "expand": (range(4), lambda i: {"project.weight": [2 * i, 2 * i + 1]}),
            "project": (range(5), same("fc.weight")),
        },
    ),
    Case(
        "grouped",
        Grouped,
        ((2, 5, 5),),
        3,
        reads={"conv": ((0, 3), lambda i: {"fc.weight": [2 * (i // 3), 2 * (i // 3) + 1]})},
    ),
    Case("shared", Shared, ((4,),), 3, reads={"first": (range(6), several("shared.weight", "last.weight"))}),
    Case("siamese", Siamese, ((4,), (4,)), 3, "sse", {"tower": (range(6), same("last.weight"))}),
    Case(
        "keywords",
        Siamese,
        ((4,), (4,)),
        3,
        reads={"tower": (range(6), same("last.weight"))},
        keywords=("left", "right"),
    ),
    Case(
        "conv1d",
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 3),
            nn.BatchNorm1d(4),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(4, 5, 2, dilation=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(10, 3),
        ),
        ((2, 10),),
        3,
        reads={"0": (range(4), same("4.weight")), "4": (range(5), flattened("7.weight", 2))},
        smooth=False,
    ),
    Case(
        "split",
        Split,
        ((5,),),
        3,
        reads={"fc": (range(6), lambda i: {"left.weight": [i]} if i < 2 else {"right.weight": [i - 2]})},
        sites=[("fc", (0, 1)), ("fc", (2, 3, 4, 5))],
        whole=False,
    ),
    Case("chunk", Chunk, ((5,),), 3, reads={"fc1": (range(4), same("fc2.weight"))}),
    Case(
        "unbind",
        Unbind,
        ((4,),),
        3,
        reads={"fc1": ((0, 2, 4), lambda i: {"fc2.weight": [i // 2]})},
        whole=False,
    ),
    Case(
        "tokens",
        Tokens,
        ((4, 5),),
        3,
        reads={
            "embed": (range(6), same("conv.weight")),
            "conv": ((1, 2, 3), lambda i: {"fc.weight": range(3 * (i - 1), 3 * i)}),
        },
        refused={"conv": "read by no"},
    ),
    Case(
        "interleave",
        Interleave,
        ((5,),),
        3,
        reads={
            # (2, 3) transposed: columns 0, 2, 4 of fc2 read the neurons 0, 1, 2, and columns 1, 3, 5 the neurons 3, 4,
            # 5. A cut must leave rectangles, so that a neuron of the first three goes with one of the others.
            "fc1": (range(3), lambda i: {"fc2.weight": [2 * i, 2 * i + 1]}),
            "fc2": (range(4), lambda i: {"fc3.weight": [3 - (i + 1) % 4]}),
        },
        whole=False,
    ),
    Case(
        "squeeze_excite",
        SqueezeExcite,
        ((2, 5, 5),),
        3,
        reads={
            "conv1": (range(4), several("down.weight", "conv2.weight")),
            "down": (range(2), same("up.weight")),
            "conv2": (range(5), same("fc.weight")),
        },
    ),
    Case(
        "layer_scale",
        LayerScale,
        ((4,),),
        3,
        reads={"stem": (range(5), several("up.weight", "head.weight")), "up": (range(7), same("down.weight"))},
    ),
    Case("functional", Functional, ((4,),), 3, "sse", {"w1": (range(6), same("w2"))}),
    Case(
        "waves",
        Waves,
        ((4,),),
        3,
        reads={"fc1": (range(5), same("fc2.weight")), "fc2": (range(6), same("fc3.weight"))},
        smooth=False,  # abs
    ),
    Case(
        "prelu",
        PReLU,
        ((4,),),
        3,
        reads={"fc1": (range(5), same("fc2.weight")), "fc2": (range(6), same("fc3.weight"))},
        smooth=False,
    ),
    Case(
        "upsampling",
        Upsampling,
        ((1, 4, 4),),
        3,
        reads={
            "conv1": (range(3), same("conv2.weight")),
            "conv2": ((0, 4), lambda i: {"conv3.weight": [i // 4]}),
        },
    ),
    Case("literal", Literal, ((1, 3, 3),), 3, reads={"conv": (range(3), flattened("fc.weight", 4))}, whole=False),
    Case(
        "input_skip",
        InputSkip,
        ((4,),),
        3,
        reads={"fc1": (range(6), same("fc2.weight"))},
        refused={"fc2": "joins values of a fixed size"},
    ),
    Case(
        "normalised",
        Normalised,
        ((4,),),
        3,
        reads={"fc2": (range(5), same("fc3.weight"))},
        refused={"fc1": "normalised over", "fc3": "normalised over"},
    ),
    Case(
        "no_rule",
        NoRule,
        ((4,),),
        3,
        reads={"fc2": (range(5), same("fc3.weight"))},
        refused={"fc1": "no rule covers"},
    ),
)

ZOO: tuple[Case, ...] = (
    Case(
        "resnet8",
        zoo.resnet8,
        ((1, 8, 8),),
        10,
        reads={
            "conv1": (
                range(16),
                several("stage1.conv1.weight", "stage2.conv1.weight", "stage2.downsample.conv.weight"),
            ),
            "stage1.conv1": (range(16), same("stage1.conv2.weight")),
            "stage2.conv1": (range(32), same("stage2.conv2.weight")),
            "stage2.conv2": (range(32), several("stage3.conv1.weight", "stage3.downsample.conv.weight")),
            "stage3.conv1": (range(64), same("stage3.conv2.weight")),
            "stage3.conv2": (range(64), same("fc.weight")),
        },
        smooth=False,
        examples=3,
        large=True,
    ),
    Case(
        "lenet5",
        zoo.lenet5,
        ((1, 28, 28),),
        10,
        reads={
            "conv1": (range(20), same("conv2.weight")),
            "conv2": (range(50), flattened("fc1.weight", 16)),
            "fc1": (range(500), same("fc2.weight")),
        },
        smooth=False,
        examples=3,
        large=True,
    ),
)


def gated(case: Case, dtype: torch.dtype = torch.float64, off: str = "zero") -> GatedLoss:
    """E(g) of a case, captured once for all tests and both meanings of off: leave it as it is."""
    return _gated(case, dtype, off)


@cache
def _gated(case: Case, dtype: torch.dtype, off: str) -> GatedLoss:
    if off == "zero":
        return GatedLoss(case.model(dtype), case.data(dtype), case.loss)
    return regated(case, gated(case, dtype).model, off)


def measurable(case: Case, off: str, dtype: torch.dtype = torch.float64) -> GatedLoss:
    """E(g) of a case. The test is skipped where no unit has a mean that can move into a bias."""
    try:
        return gated(case, dtype, off)
    except NoUnitsError:
        if off == "zero":
            raise
        pytest.skip(f"{case} has no unit for off={off}: see oracle/test_brute_force.py")


def regated(case: Case, model: nn.Module, off: str = "zero") -> GatedLoss:
    """E(g) of a network of the same code as the case's, without capturing that anew (a third of a second)."""
    dtype = next(model.parameters()).dtype
    graph = dataclasses.replace(gated(case, dtype).network.graph, model=model)
    with mock.patch.object(Graph, "trace", return_value=graph):
        return GatedLoss(model, case.data(dtype), case.loss, off=off)


BY_NAME: Mapping[str, Case] = {case.name: case for case in (*CASES, *ZOO)}
