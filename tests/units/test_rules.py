"""The table of operators, row by row: each exists in torch, and each keeps "gate 0 == nothing is read" true."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from secateur.gated import GatedNetwork
from secateur.units import Graph, discover
from secateur.units.graph import operator_name
from secateur.units.rules import LAYER_ATTRIBUTES, RULES, pointwise

Step = Callable[..., Tensor]


def overload(name: str) -> Any:
    """The operator of that row, or None where this version of torch has none."""
    packet, _, which = name.removeprefix("aten.").rpartition(".")
    found = getattr(torch.ops.aten, packet, None)
    return getattr(found, which) if found is not None and which in found.overloads() else None


@pytest.mark.parametrize("name", RULES)
def test_every_row_is_an_operator_that_exists(name: str) -> None:
    if name.startswith("aten."):
        assert overload(name) is not None, f"torch {torch.__version__} has no {name}: a dead row, or a misspelt one"
    else:
        assert name == "getitem" or callable(getattr(operator, name))


class Around(nn.Module):
    """maker -> the step in question -> reader: the maker's units meet the step one by one, or are moved about by it."""

    def __init__(self, maker: nn.Module, step: Step, reader: nn.Module, other: nn.Module | None = None) -> None:
        super().__init__()
        self.maker, self.step, self.reader = maker, step, reader
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        h = self.maker(x)
        h = self.step(h) if self.other is None else self.step(h, self.other(x))
        answer = self.reader(h.to(x.dtype))
        return answer.flatten(2).mean(2) if answer.dim() > 2 else answer


class Bank(nn.Module):
    """Many such branches side by side, so that they are captured in one go: three outputs each, one after the other."""

    def __init__(self, branches: dict[str, Around]) -> None:
        super().__init__()
        self.names = list(branches)
        self.branches = nn.ModuleList(branches.values())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class Captured:
    """A bank with its graph and units, and the two plain ways of switching a unit off that need no gate.

    The branches don't meet, so the first unit of every branch goes at once, then the second of every branch ...
    """

    def __init__(self, branches: dict[str, Around], x: Tensor) -> None:
        self.model, self.x = Bank(branches).double().eval(), x
        self.graph = Graph.trace(self.model, [x])
        self.units = discover(self.graph)
        self.operators = {operator_name(node) for node in self.graph.nodes}
        self.of = {name: self._made_by(f"branches.{at}.maker") for at, name in enumerate(self.model.names)}
        with torch.no_grad():
            self.whole = self.model(x)
        rounds = [
            [units[turn] for units in self.of.values() if turn < len(units)]
            for turn in range(max(map(len, self.of.values())))
        ]
        self.gated = [self._gated(units) for units in rounds]
        self.unread = [self._zeroed(units, 1, "reader.weight") for units in rounds]
        self.unmade = [self._zeroed(units, 0, "maker.weight", "maker.bias") for units in rounds]

    def slices(self, name: str, parameter: str, dim: int, unit: int) -> list[int]:
        """The indices of the parameter in the branch of that name that go with the unit."""
        owner = self.units.slices[f"branches.{self.model.names.index(name)}.{parameter}"][dim]
        return (owner == unit).nonzero().flatten().tolist()

    def check(self, name: str, unmade: bool = False) -> None:
        """Gate 0 == zeros in the columns that read the unit; and, where the step keeps zeros (`unmade`), == zeros in
        the rows that make it."""
        at = self.model.names.index(name)
        mine = slice(3 * at, 3 * at + 3)
        assert self.of[name]
        for turn in range(len(self.of[name])):
            gated, unread = self.gated[turn][:, mine], self.unread[turn][:, mine]
            assert unread.isfinite().all()
            assert (gated - unread).abs().max() <= 1e-12 * unread.abs().max().clamp_min(1.0)
            if unmade:
                assert (gated - self.unmade[turn][:, mine]).abs().max() <= 1e-12 * unread.abs().max().clamp_min(1.0)
                assert not torch.equal(gated, self.whole[:, mine]), "the gate does nothing"

    def _made_by(self, layer: str) -> list[int]:
        return [at for at, unit in enumerate(self.units) if unit.layer == layer]

    def _gated(self, units: list[int]) -> Tensor:
        gates = torch.ones(len(self.units), dtype=torch.float64)
        gates[units] = 0.0
        with torch.no_grad():
            return GatedNetwork(self.graph, self.units)([self.x], gates)

    def _zeroed(self, units: list[int], dim: int, *parameters: str) -> Tensor:
        twin = copy.deepcopy(self.model)
        for name, branch in zip(twin.names, twin.branches, strict=True):
            for unit in set(units) & set(self.of[name]):
                for parameter in parameters:
                    rows = torch.tensor(self.slices(name, parameter, dim, unit))
                    branch.get_parameter(parameter).data.index_fill_(dim, rows, 0.0)
        with torch.no_grad():
            return twin(self.x)


# ------------------------------------------------------------------------------------- every element alone


def call(name: str) -> Step:
    """A call of a pointwise operator, with its tensors from the network and plain numbers elsewhere, by its schema."""
    op = overload(name)
    schema = [argument for argument in op._schema.arguments if not argument.kwarg_only]
    special = {
        "aten.to.dtype": lambda h, o: op(h, torch.float32),
        "aten._to_copy.default": lambda h, o: op(h, dtype=torch.float32),
        "aten.dropout.default": lambda h, o: op(h, 0.5, False),
        "aten.clamp.default": lambda h, o: op(h, -0.5, 0.5),
        "aten.clamp.Tensor": lambda h, o: op(h, o),
        "aten.div.Tensor_mode": lambda h, o: op(h, o, rounding_mode="floor"),
        "aten.bitwise_not.default": lambda h, o: op(h > 0),
        "aten.type_as.default": lambda h, o: op(h, o.float()),
    }
    if name in special:
        return special[name]

    def step(h: Tensor, o: Tensor) -> Tensor:
        arguments: list[Any] = []
        tensors = [h, o, h * o]
        for argument in schema:
            if str(argument.type) == "Tensor":
                value = tensors.pop(0)
                arguments.append(value > 0 if argument.name in ("condition", "mask") else value)
            elif argument.has_default_value():
                break
            else:
                arguments.append(0.5)
        return op(*arguments)

    return step


SIMPLIFIED = {"aten.to.dtype", "aten.contiguous.default", "aten.clone.default", "aten.dropout.default"}
"""Rows that torch.export or `Graph` may take out of a graph before it is looked at."""


POINTWISE = [name for name, rule in RULES.items() if rule.flow is pointwise]


@pytest.fixture(scope="module")
def pointwise_bank() -> Captured:
    torch.manual_seed(0)
    branches = {name: Around(nn.Linear(4, 6), call(name), nn.Linear(6, 3), nn.Linear(4, 6)) for name in POINTWISE}
    for branch in branches.values():
        nn.init.uniform_(branch.maker.bias, 0.5, 3.0)  # logarithms and roots like it better above 0
        nn.init.uniform_(branch.maker.weight, 0.0, 0.1)
        nn.init.uniform_(branch.other.bias, 0.5, 3.0)
    return Captured(branches, torch.rand(5, 4).double())


@pytest.mark.parametrize("name", POINTWISE)
def test_a_pointwise_row(name: str, pointwise_bank: Captured) -> None:
    """Neuron i, and neuron i of the other layer where the operator takes two: column i of the reader."""
    bank = pointwise_bank
    assert name in bank.operators or name in SIMPLIFIED
    assert [bank.units[unit].index for unit in bank.of[name]] == list(range(6))
    two = sum(str(argument.type) == "Tensor" for argument in overload(name)._schema.arguments) > 1
    for index, unit in enumerate(bank.of[name]):
        assert bank.slices(name, "maker.weight", 0, unit) == [index]
        assert bank.slices(name, "reader.weight", 1, unit) == [index]
        if two:
            assert bank.slices(name, "other.weight", 0, unit) == [index]
    bank.check(name)


# --------------------------------------------------------------------------------------------- data movement

MOVES: dict[str, tuple[Step, int, int]] = {
    # row: (code on (N, 6), columns of the reader, number of units)
    "aten.cat.default": (lambda h: torch.cat((h, h.flip(1)), 1), 12, 6),
    "aten.channel_shuffle.default": (lambda h: F.channel_shuffle(h.view(-1, 6, 1), 2).flatten(1), 6, 3),
    "aten.expand_as.default": (
        lambda h: torch.ops.aten.expand_as(h[:, :, None], h.view(-1, 6, 1).repeat(1, 1, 2)).sum(2),
        6,
        6,
    ),
    "aten.flip.default": (lambda h: h.flip(1), 6, 6),
    "aten.movedim.int": (lambda h: torch.ops.aten.movedim.int(h.view(-1, 6, 1), 1, 2)[:, 0], 6, 6),
    "aten.movedim.intlist": (lambda h: torch.ops.aten.movedim.intlist(h.view(-1, 6, 1), (1, 2), (2, 1))[:, 0], 6, 6),
    "aten.permute.default": (lambda h: h.view(-1, 6, 1).permute(0, 2, 1)[:, 0], 6, 6),
    "aten.pixel_shuffle.default": (
        lambda h: F.pixel_shuffle(h.repeat_interleave(4, 1).view(-1, 24, 1, 1), 2).flatten(1),
        24,
        6,
    ),
    "aten.pixel_unshuffle.default": (
        lambda h: F.pixel_unshuffle(h.view(-1, 6, 1, 1).repeat(1, 1, 2, 2), 2).flatten(1),
        24,
        6,
    ),
    "aten.repeat.default": (lambda h: h.repeat(1, 2), 12, 6),
    "aten.repeat_interleave.self_int": (lambda h: h.repeat_interleave(2, 1), 12, 6),
    "aten.reshape_as.default": (lambda h: torch.ops.aten.reshape_as(h.unsqueeze(2), h), 6, 6),
    "aten.roll.default": (lambda h: h.roll(2, 1), 6, 6),
    "aten.squeeze.dim": (lambda h: h.unsqueeze(2).squeeze(2), 6, 6),
    "aten.squeeze.dims": (lambda h: h[:, :, None, None].squeeze(), 6, 6),
    "aten.stack.default": (lambda h: torch.stack((h, 2 * h), 1).sum(1), 6, 6),
    "aten.swapaxes.default": (lambda h: torch.ops.aten.swapaxes(h.view(-1, 6, 1), 1, 2)[:, 0], 6, 6),
    "aten.t.default": (lambda h: h.t().t(), 6, 6),
    "aten.tile.default": (lambda h: h.tile(2), 12, 6),
    "aten.transpose.int": (lambda h: h.view(-1, 6, 1).transpose(1, 2)[:, 0], 6, 6),
    "aten.unbind.int": (lambda h: torch.add(*torch.unbind(h.unsqueeze(2).expand(-1, 6, 2), 2)), 6, 6),
    "aten.unsqueeze.default": (lambda h: h.unsqueeze(1)[:, 0], 6, 6),
    "aten.view_as.default": (lambda h: torch.ops.aten.view_as(h.unsqueeze(2), h), 6, 6),
    "aten.flatten.using_ints": (lambda h: torch.ops.aten.flatten.using_ints(h.unsqueeze(2), 1), 6, 6),
    "aten.reshape.default": (lambda h: h.reshape(-1, 6, 1).reshape(-1, 6), 6, 6),
    "aten.expand.default": (lambda h: h.unsqueeze(2).expand(-1, -1, 3).flatten(1), 18, 6),
    "aten.unflatten.int": (lambda h: torch.ops.aten.unflatten.int(h, 1, [3, 2]).flatten(1), 6, 3),
    "aten.chunk.default": (lambda h: torch.ops.aten.chunk(h, 2, 1)[1], 3, 3),
    "aten.split.Tensor": (lambda h: torch.cat(h.split(2, 1)[::-1], 1), 6, 6),
    "aten.split_with_sizes.default": (lambda h: torch.cat(h.split([1, 5], 1)[::-1], 1), 6, 6),
    "aten.slice.Tensor": (lambda h: h[:, 1::2], 3, 3),
    "aten.select.int": (lambda h: h[:, 2].unsqueeze(1), 1, 1),
    "getitem": (lambda h: h.split(3, 1)[1], 3, 3),
}
DECOMPOSED = {
    "aten.movedim.int",
    "aten.movedim.intlist",
    "aten.reshape_as.default",
    "aten.swapaxes.default",
    "aten.view_as.default",
    "aten.flatten.using_ints",
    "aten.expand_as.default",
    "aten.unflatten.int",
    "aten.chunk.default",
}
"""Rows whose operator torch 2.13's export turns into others; other versions keep some of them."""


@pytest.fixture(scope="module")
def moves_bank() -> Captured:
    torch.manual_seed(0)
    branches = {name: Around(nn.Linear(4, 6), step, nn.Linear(n, 3)) for name, (step, n, _) in MOVES.items()}
    return Captured(branches, torch.randn(5, 4).double())


@pytest.mark.parametrize("name", MOVES)
def test_a_row_that_moves_data(name: str, moves_bank: Captured) -> None:
    assert name in moves_bank.operators or name in DECOMPOSED
    assert len(moves_bank.of[name]) == MOVES[name][2]
    moves_bank.check(name, unmade=True)


def test_every_row_that_moves_data_is_tested() -> None:
    assert {name for name, rule in RULES.items() if rule.flow.__name__ in ("move", "pick")} <= MOVES.keys()


# --------------------------------------------------------------------------- channels, positions, contractions

IMAGES: dict[str, Step] = {
    # row: code on (N, 4, 6, 6) that keeps the four channels, and maps zeros to zeros
    "aten.max_pool2d.default": lambda h: F.max_pool2d(h, 2),
    "aten.avg_pool2d.default": lambda h: F.avg_pool2d(h, 3, 2, 1),
    "aten.adaptive_avg_pool2d.default": lambda h: F.adaptive_avg_pool2d(h, (2, 3)),
    "aten.adaptive_max_pool2d.default": lambda h: F.adaptive_max_pool2d(h, 2),
    "aten.max_pool1d.default": lambda h: F.max_pool1d(h.flatten(2), 2).unsqueeze(2),
    "aten.avg_pool1d.default": lambda h: F.avg_pool1d(h.flatten(2), 2).unsqueeze(2),
    "aten.adaptive_avg_pool1d.default": lambda h: F.adaptive_avg_pool1d(h.flatten(2), 5).unsqueeze(2),
    "aten.adaptive_max_pool1d.default": lambda h: F.adaptive_max_pool1d(h.flatten(2), 5).unsqueeze(2),
    "aten.max_pool3d.default": lambda h: F.max_pool3d(h.unsqueeze(2), (1, 2, 2)).squeeze(2),
    "aten.avg_pool3d.default": lambda h: F.avg_pool3d(h.unsqueeze(2), (1, 2, 2)).squeeze(2),
    "aten.adaptive_avg_pool3d.default": lambda h: F.adaptive_avg_pool3d(h.unsqueeze(2), (1, 2, 2)).squeeze(2),
    "aten.adaptive_max_pool3d.default": lambda h: F.adaptive_max_pool3d(h.unsqueeze(2), (1, 2, 2)).squeeze(2),
    "aten.upsample_nearest1d.vec": lambda h: F.interpolate(h.flatten(2), scale_factor=2).unsqueeze(2),
    "aten.upsample_linear1d.vec": lambda h: F.interpolate(h.flatten(2), scale_factor=2, mode="linear").unsqueeze(2),
    "aten.upsample_nearest2d.vec": lambda h: F.interpolate(h, scale_factor=2),
    "aten.upsample_bilinear2d.vec": lambda h: F.interpolate(h, scale_factor=2, mode="bilinear"),
    "aten.upsample_bicubic2d.vec": lambda h: F.interpolate(h, scale_factor=2, mode="bicubic"),
    "aten.pad.default": lambda h: F.pad(h, (1, 2, 0, 1), "reflect"),
    "aten.constant_pad_nd.default": lambda h: torch.constant_pad_nd(h, (1, -1, 0, 1)),
    "aten.mean.dim": lambda h: h.mean((2, 3), keepdim=True),
    "aten.sum.dim_IntList": lambda h: h.sum(-1, keepdim=True),
    "aten.amax.default": lambda h: h.amax((-1,), keepdim=True),
    "aten.amin.default": lambda h: h.amin(3)[..., None],
    "aten.linalg_vector_norm.default": lambda h: torch.linalg.vector_norm(h, 3, (2, 3), keepdim=True),
    "aten.softmax.int": lambda h: h * h.flatten(2).softmax(2).unflatten(2, (6, 6)),
    "aten.log_softmax.int": lambda h: h * h.log_softmax(3),
    "aten.layer_norm.default": lambda h: F.layer_norm(h, (6, 6)),
    "aten.rms_norm.default": lambda h: F.rms_norm(h, (6,)),
    "aten.sym_size.int": lambda h: h.reshape(h.shape[0], 4, 36).unsqueeze(3),
    "aten.full.default": lambda h: h * torch.full((1, 1, 1, 1), 2.0, dtype=h.dtype),
    "aten.ones.default": lambda h: h * torch.ones(1, dtype=h.dtype),
    "aten.zeros.default": lambda h: h + torch.zeros(6, 6, dtype=h.dtype),
    "aten.arange.default": lambda h: h * torch.arange(6),
    "aten.arange.start": lambda h: h * torch.arange(1, 7),
    "aten.scalar_tensor.default": lambda h: h * torch.scalar_tensor(2.0, dtype=h.dtype),
}


@pytest.fixture(scope="module")
def images_bank() -> Captured:
    torch.manual_seed(0)
    branches = {name: Around(nn.Conv2d(2, 4, 1), step, nn.Conv2d(4, 3, 1)) for name, step in IMAGES.items()}
    return Captured(branches, torch.randn(3, 2, 6, 6).double())


@pytest.mark.parametrize("name", IMAGES)
def test_a_row_that_keeps_channels(name: str, images_bank: Captured) -> None:
    assert name in images_bank.operators
    assert [images_bank.units[unit].index for unit in images_bank.of[name]] == [0, 1, 2, 3]
    images_bank.check(name, unmade=True)


def conv(dims: int, **options: Any) -> Callable[[int, int], nn.Module]:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    return lambda inputs, outputs: kind(inputs, outputs, 2, **options)


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("aten.linear.default", nn.Linear, (4,)),
        ("aten.linear.default", nn.Linear, (3, 5, 4)),
        ("aten.conv1d.default", conv(1, stride=2, dilation=2), (4, 12)),
        ("aten.conv2d.default", conv(2, padding=1), (4, 5, 5)),
        ("aten.conv3d.default", conv(3), (4, 3, 4, 3)),
        ("aten.conv1d.padding", conv(1, padding="same"), (4, 6)),
        ("aten.conv2d.padding", conv(2, padding="same", dilation=2), (4, 5, 5)),
        ("aten.conv3d.padding", conv(3, padding="valid"), (4, 3, 4, 3)),
    ],
)
def test_contractions_end_units_and_make_new_ones(
    name: str, layer: Callable[[int, int], nn.Module], shape: tuple[int, ...]
) -> None:
    bank = Captured({name: Around(layer(4, 5), torch.tanh, layer(5, 3))}, torch.randn(2, *shape).double())
    assert name in bank.operators
    assert [unit.index for unit in bank.units] == [0, 1, 2, 3, 4]
    bank.check(name)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.PReLU(4), nn.PReLU()], ids=str)
def test_layers_with_a_parameter_for_each_channel(norm: nn.Module) -> None:
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)
    bank = Captured({"norm": Around(nn.Conv2d(2, 4, 1), norm, nn.Conv2d(4, 3, 2))}, torch.randn(3, 2, 3, 3).double())
    assert len(bank.units) == 4
    bank.check("norm")
    for name, tensor in norm.state_dict().items():
        if tensor.shape == (4,):
            assert [bank.slices("norm", f"step.{name}", 0, unit) for unit in range(4)] == [[0], [1], [2], [3]]


def test_batch_norm_over_neurons() -> None:
    bank = Captured({"norm": Around(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))}, torch.randn(3, 4).double())
    assert len(bank.units) == 6
    bank.check("norm")


def test_attributes_of_layers_are_those_of_torch() -> None:
    """LAYER_ATTRIBUTES tells each attribute from the layer's tensors: for an uncut layer, what it says already."""
    for kinds, attributes in LAYER_ATTRIBUTES.items():
        for kind in kinds:
            sizes = (4,) if kind.__name__.startswith(("BatchNorm", "PReLU")) else (6, 4)
            layer = kind(*sizes, 1) if kind.__name__.startswith("Conv") else kind(*sizes)
            for name, value in attributes.items():
                rows = len(next(layer.parameters()))
                assert value(layer, rows) == getattr(layer, name), (kind, name)


def test_squeeze_means_the_dimensions_that_are_one_at_capture() -> None:
    """Not a batch of one example: the same answer, and the same units, in any company."""
    model = Around(nn.Conv2d(2, 4, 1), lambda h: h.mean((2, 3), keepdim=True).squeeze(), nn.Linear(4, 3))
    bank = Captured({"squeeze": model}, torch.randn(3, 2, 3, 3).double())
    with torch.no_grad():
        alone = GatedNetwork(bank.graph, bank.units)([bank.x[:1]], torch.ones(4))
    assert alone.shape == (1, 3)
    assert torch.allclose(alone, bank.whole[:1], rtol=1e-12)
    bank.check("squeeze", unmade=True)
