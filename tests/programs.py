"""Random networks of the supported operators: a program of a few lines, each a layer or a line of code.

A program prints as what it does:

    v1 = Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))(v0)
    v2 = relu(x)(v1)
    v3 = x + y(v1, v2)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]  # of one example

LARGEST = 300  # elements of a value: what keeps the tests fast


class Code(nn.Module):
    """A line of somebody's forward(), of x and y; it may hold numbers, as such lines do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return eval(self.text, {"torch": torch, "F": nn.functional, "x": x, "y": y})

    def __repr__(self) -> str:
        return self.text


class Scale(nn.Module):
    """A parameter or a buffer that meets the values element by element."""

    def __init__(self, shape: Shape, learned: bool) -> None:
        super().__init__()
        value = torch.ones(shape)
        if learned:
            self.scale = nn.Parameter(value)
        else:
            self.register_buffer("scale", value)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale

    def extra_repr(self) -> str:
        return f"{tuple(self.scale.shape)}"


class Gate(nn.Module):
    """Squeeze and excitation: each channel is multiplied by what all channels together say of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.up(self.down(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Program(nn.Module):
    """Every line computes one value from earlier ones; value 0 is the input, the last one the answer."""

    def __init__(self, lines: list[tuple[nn.Module, tuple[int, ...]]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer for layer, _ in lines)
        self.sources = [sources for _, sources in lines]

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            values.append(layer(*(values[source] for source in sources)))
        return values[-1]

    def __repr__(self) -> str:
        return "\n" + "\n".join(
            f"    v{at} = {layer}({', '.join(f'v{source}' for source in sources)})"
            for at, (layer, sources) in enumerate(zip(self.layers, self.sources, strict=True), start=1)
        )


@dataclass(frozen=True, repr=False)
class Drawn:
    """A network, examples, and the choices that the properties are held to."""

    model: Program
    x: Tensor
    y: Tensor
    off: str
    picks: int  # which units go, as bits

    def __repr__(self) -> str:
        return f"{self.model!r}\n    x{list(self.x.shape)}, off={self.off}, picks={self.picks}"


# ------------------------------------------------------------------------------------------------ lines with layers


def linear(rng: Random, shape: Shape) -> nn.Module:
    return nn.Linear(shape[-1], rng.randint(1, 5), bias=rng.random() < 0.5)


def convolution(rng: Random, shape: Shape) -> nn.Module:
    channels, height, width = shape
    groups = rng.choice([g for g in (1, 2, 3, channels) if channels % g == 0])
    out = rng.randint(1, 5) if groups == 1 else groups * rng.randint(1, 2)
    size = rng.choice([1, 3] if min(height, width) >= 3 else [1])
    padding = rng.choice([0, size // 2, "same"])
    stride = 1 if padding == "same" else rng.randint(1, 2)
    return nn.Conv2d(channels, out, size, stride, padding, groups=groups, bias=rng.random() < 0.5)


def convolution_1d(rng: Random, shape: Shape) -> nn.Module:
    return nn.Conv1d(shape[0], rng.randint(1, 4), 1, bias=rng.random() < 0.5)


def normalisation(rng: Random, shape: Shape) -> nn.Module:
    kinds = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}
    return kinds[len(shape)](shape[0], affine=rng.random() < 0.5)


def activation(rng: Random, shape: Shape) -> nn.Module:
    kinds = [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.Softplus, nn.Hardswish, nn.LeakyReLU, nn.Dropout, nn.Identity]
    if rng.random() < 0.5:
        return rng.choice(kinds)()
    return nn.PReLU(rng.choice([1, shape[0]]))


def pooling(rng: Random, shape: Shape) -> nn.Module:
    kinds = [nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(2), nn.Upsample(scale_factor=2)]
    if min(shape[1:]) >= 2:
        kinds += [nn.MaxPool2d(2), nn.AvgPool2d(2, 1, 1), nn.ZeroPad2d((0, 1, 1, 0)), nn.ReflectionPad2d(1)]
    return rng.choice(kinds)


def scale(rng: Random, shape: Shape) -> nn.Module:
    wanted = rng.choice([shape, (shape[0], *[1] * (len(shape) - 1)), (1,)])
    return Scale(wanted, rng.random() < 0.5)


def gate(rng: Random, shape: Shape) -> nn.Module:
    return Gate(shape[0])


def refusing(rng: Random, shape: Shape) -> nn.Module:
    """What can't be cut exactly through, or has no rule."""
    kinds = [nn.LayerNorm(shape), nn.Softmax(1), Code("x.sum(1, keepdim=True) + x"), Code("x.cumsum(1)")]
    return rng.choice(kinds)


# -------------------------------------------------------------------------------------------------- lines of code


def flat_code(rng: Random, shape: Shape) -> nn.Module:
    (features,) = shape
    half, cut = max(features // 2, 1), rng.randint(0, features - 1)
    lines = ["x[:, 1:]", f"x[:, {cut}:]", f"x[:, :{cut + 1}]", f"x[:, {cut}].unsqueeze(1)"] if features > 1 else []
    lines += ["x.flip(1)", "x.roll(1, 1)", "x.unsqueeze(2)", "x.unsqueeze(1)", "x.repeat(1, 2)", "x * x", "1 - x"]
    lines += ["torch.cat([x, x.relu()], 1)", "torch.stack([x, x.tanh()], 2)", "torch.stack([x, x], 1)"]
    lines += ["torch.cat([x, x.new_zeros(x.shape[0], 1)], 1)", "F.pad(x, (1, 0))", "x.repeat_interleave(2, 1)"]
    lines += [f"torch.cat(x.split({half}, 1)[::-1], 1)", "x.clamp(0) * 2", "x.square().sqrt()", "x.expand_as(x)"]
    if features % 2 == 0:
        lines += ["(lambda a, b: a * b.sigmoid())(*x.chunk(2, 1))", "torch.cat(x.chunk(2, 1)[::-1], 1)"]
        lines += [f"x.reshape(-1, 2, {half})", "x.unflatten(1, (2, -1))", f"x.reshape(x.shape[0], {half}, 2)"]
        lines += ["x.reshape(x.shape[0], 2, x.shape[1] // 2).transpose(1, 2)", "x[:, ::2]", "F.glu(x, 1)"]
        lines += ["x.reshape(x.shape[0], 2, -1).mean(1)", "x.reshape(x.shape[0], 2, -1).amax(1)"]
    return Code(rng.choice(lines))


def sequence_code(rng: Random, shape: Shape) -> nn.Module:
    first, second = shape
    lines = ["x.flatten(1)", "x.transpose(1, 2)", "x.mean(1)", "x.mean(2)", "x.permute(0, 2, 1).relu()", "x[:, 0]"]
    lines += [
        "x.reshape(x.shape[0], -1)",
        f"x.reshape(-1, {first * second})",
        "x.sum(2)",
        "x[..., -1]",
        "x.unsqueeze(-1)",
    ]
    lines += ["x.unbind(1)[0]", "x.amax(1)", "torch.cat([x, x], 2)", "x.movedim(1, 2)"]
    return Code(rng.choice(lines))


def image_code(rng: Random, shape: Shape) -> nn.Module:
    channels, height, width = shape
    lines = ["x.flatten(1)", "x.reshape(x.shape[0], -1)", "x.flatten(2)", "x.flatten(2).transpose(1, 2)"]
    lines += [f"x.reshape(-1, {channels * height * width})", "x.mean((2, 3))", "x.mean((2, 3), keepdim=True)"]
    lines += ["x.transpose(2, 3)", "x.roll(1, 2)", "x[:, :1]", "x[:, :, :1]", "torch.cat([x, -x], 1)", "x.amax((2, 3))"]
    lines += ["x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)", "x.permute(0, 2, 3, 1).mean((1, 2))", "x.flip(1)"]
    lines += [
        f"x.reshape(x.shape[0], {channels}, {height * width})",
        "F.pad(x, (0, 0, 0, 0, 0, 1))",
        "x * x.mean((2, 3), True)",
    ]
    if channels % 2 == 0:
        shuffle = f"x.reshape(-1, 2, {channels // 2}, {height}, {width}).transpose(1, 2)"
        lines += [f"{shuffle}.reshape(-1, {channels}, {height}, {width})", "F.channel_shuffle(x, 2)"]
        lines += ["(lambda a, b: torch.cat([b, a], 1))(*x.chunk(2, 1))", "x[:, :x.shape[1] // 2]", "F.glu(x, 1)"]
        lines += ["torch.cat([x.chunk(2, 1)[0], x.chunk(2, 1)[1].relu()], 1)"]
    if channels % 4 == 0:
        lines += ["F.pixel_shuffle(x, 2)"]
    if height % 2 == 0 and width % 2 == 0:
        lines += ["F.pixel_unshuffle(x, 2)"]
    return Code(rng.choice(lines))


LINES: dict[int, list[Callable[[Random, Shape], nn.Module]]] = {
    1: [linear, activation, normalisation, flat_code, scale, linear, activation, flat_code] * 2 + [refusing],
    2: [sequence_code, linear, convolution_1d, activation, normalisation, scale, sequence_code] * 2 + [refusing],
    3: [convolution, convolution, activation, normalisation, image_code, image_code, pooling, gate, scale, refusing],
}
JOINS = ("x + y", "x * y", "x - y", "torch.maximum(x, y)", "torch.where(x > 0, x, y)", "x + y.sigmoid() * x")


# ----------------------------------------------------------------------------------------------------- the program


def program(rng: Random, longest: int = 10) -> Drawn:
    """A network of 3 to `longest` lines, mostly with a linear readout, in float64, with examples."""
    shape = rng.choice([(4,), (2, 4, 4), (3, 5, 5), (3, 4)])
    torch.manual_seed(rng.randint(0, 1 << 16))
    x = torch.randn(5, *shape, dtype=torch.float64)
    lines: list[tuple[nn.Module, tuple[int, ...]]] = []
    values = [x[:2]]

    def add(layer: nn.Module, *sources: int) -> None:
        with torch.no_grad():
            value = layer.double().eval()(*(values[source] for source in sources))
        if value.numel() <= 2 * LARGEST:
            lines.append((layer, sources))
            values.append(value)

    width = rng.randint(2, 6)
    add(nn.Conv2d(shape[0], width, 3, padding=1) if len(shape) == 3 else nn.Linear(shape[-1], width), 0)
    for _ in range(rng.randint(2, longest - 1)):
        # Mostly the newest value; now and then an older one, which makes a branch; seldom the input.
        oldest = rng.choice([1] * 9 + [0])
        source = max(len(lines) - rng.choice([0, 0, 0, 1, 2, len(lines)]), oldest)
        here = tuple(values[source].shape[1:])
        recent = range(oldest, len(values))
        others = [at for at in recent if at != source and values[at].shape == values[source].shape]
        longer = [at for at in recent if values[at].dim() > len(here) and values[at].shape[2:] == here[1:]]
        again = [
            at
            for at, (layer, (of, *_)) in enumerate(lines)
            if not isinstance(layer, Code) and values[of].dim() == len(here) + 1 and _takes(layer, values[source])
        ]
        what = rng.choice(["line", "line", "line", "join", "cat", "again"])
        if what == "join" and others:
            add(Code(rng.choice(JOINS)), source, rng.choice(others))
        elif what == "cat":
            add(Code("torch.cat([x, y], 1)"), source, rng.choice(longer))
        elif what == "again" and again:
            add(lines[rng.choice(again)][0], source)
        elif len(here) in LINES:
            add(rng.choice(LINES[len(here)])(rng, here), source)
    readout = rng.choice(["linear"] * 7 + ["none"])
    if values[-1].dim() > 2:
        add(Code("x.flatten(1)"), len(lines))
    if readout == "linear":
        add(nn.Linear(values[-1].shape[1], 3), len(lines))
    model = Program(lines)
    _randomise(model)
    with torch.no_grad():
        y = torch.randn_like(model.double().eval()(x))
    return Drawn(model, x, y, rng.choice(["zero", "zero", "mean"]), rng.randint(0, (1 << 40) - 1))


def _takes(layer: nn.Module, value: Tensor) -> bool:
    """Whether the layer can be called a second time, on this value."""
    try:
        with torch.no_grad():
            layer(value)
    except (RuntimeError, ValueError, IndexError):
        return False
    return True


def _randomise(model: nn.Module) -> None:
    """No weight that a network starts with by chance: ones and zeros hide mistakes."""
    with torch.no_grad():
        for module in model.modules():
            for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
                if name in ("running_var", "scale") or (name == "weight" and tensor.dim() == 1):
                    tensor.uniform_(0.5, 1.5)
                elif name == "running_mean":
                    tensor.normal_()
                elif name == "bias":
                    tensor.uniform_(-1, 1)
