"""A cut network answers as the one whose units are gated off, which answers as one whose weights are zeroed by hand."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated, switched_off
from torch import Tensor, nn
from torch.nn import functional

import secateur as sc
from secateur.errors import NoUnitsError, RefusedUnitError, UnitError
from secateur.gated import GatedLoss, GatedNetwork, Off
from secateur.surgery import CutWarning, cut_graph, cut_module, cut_network, network_for, plan_cut
from secateur.units import UnitSet, discover

PRECISION = {torch.float64: 1e-12, torch.float32: 1e-5}


def some(units: UnitSet, seed: int, share: float = 0.5) -> list[int]:
    """About this share of the units, one or more left of each site."""
    generator = torch.Generator().manual_seed(seed)
    gone: list[int] = []
    for site in units.sites:
        order = torch.randperm(len(site.units), generator=generator)[:-1]
        gone += [site.units[at] for at in order.tolist() if torch.rand(1, generator=generator) < share]
    return sorted(gone)


def far(got: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest output."""
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())


def networks(meaning: Off, dtype: torch.dtype) -> Iterator[tuple[Case, GatedNetwork]]:
    """The cases that have units in this meaning of off, in this precision; captured only once."""
    for case in CASES:
        graph = replace(gated(case).network.graph, model=case.model(dtype))
        try:
            network = GatedNetwork(graph, discover(graph, meaning), meaning)
        except NoUnitsError:
            assert meaning == "mean"
            continue
        if meaning == "mean":
            network.take_means(network.sums(case.inputs(dtype)))
            network.means = {node: mean.to(dtype) for node, mean in network.means.items()}  # of a graph in float64
        yield case, network


class TestEveryCase:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
    @pytest.mark.parametrize("meaning", ["zero", "mean"])
    def test_gate_0_is_the_cut(self, meaning: Off, dtype: torch.dtype) -> None:
        for case, network in networks(meaning, dtype):
            for seed in range(3):
                positions = some(network.units, seed)
                gates = torch.ones(len(network.units), dtype=torch.float64)
                gates[positions] = 0.0
                with torch.no_grad():
                    expected = network(case.inputs(dtype), gates)
                plan = plan_cut(network, positions)
                graph = cut_graph(network, plan)
                assert far(case.answer(graph, case.inputs(dtype)), expected) <= PRECISION[dtype], case
                if case.whole and (meaning, case.name) != ("mean", "functional"):  # which has nowhere to put a bias
                    small = cut_module(network, plan)
                    assert far(case.answer(small, case.x(dtype)), expected) <= PRECISION[dtype], case

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_the_cut_is_brute_force(self, case: Case) -> None:
        """Of the user's class where that can be had; and equal to a twin whose readers' columns are zero."""
        loss, x = gated(case), case.x()
        positions = some(loss.units, 7)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", CutWarning)
            small = cut_network(loss.network, positions, x)
        columns = [case.columns(loss.units[at].name) for at in positions]
        expected = case.answer(switched_off(loss.model, columns), x)
        own = type(small) is type(loss.model)
        assert far(case.answer(small, x if own else case.inputs()), expected) <= 1e-12
        assert own != any(issubclass(warning.category, CutWarning) for warning in caught)
        assert own or not case.whole

    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_any_number_of_examples(self, case: Case) -> None:
        loss = gated(case)
        network = cut_graph(loss.network, plan_cut(loss.network, some(loss.units, 1)))
        answers = case.answer(network, case.inputs())
        for count in (1, 3):
            assert far(case.answer(network, case.inputs(examples=count)), answers[:count]) <= 1e-12

    @pytest.mark.parametrize("case", [case for case in CASES if case.whole], ids=str)
    def test_what_layers_say_of_their_sizes(self, case: Case) -> None:
        loss = gated(case)
        small = cut_module(loss.network, plan_cut(loss.network, some(loss.units, 2, share=1.0)))
        assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in loss.model.parameters())
        for layer in small.modules():
            match layer:
                case nn.Linear():
                    assert tuple(layer.weight.shape) == (layer.out_features, layer.in_features)
                case nn.Conv1d() | nn.Conv2d():
                    rows, columns = layer.weight.shape[:2]
                    assert (layer.out_channels, layer.in_channels) == (rows, columns * layer.groups)
                case nn.BatchNorm1d() | nn.BatchNorm2d():
                    assert layer.running_mean is not None
                    assert layer.running_var is not None
                    assert {layer.num_features} == {len(layer.running_mean), len(layer.running_var), len(layer.weight)}
                case nn.PReLU():
                    assert layer.num_parameters == len(layer.weight)


def test_sizes_worked_out_by_hand() -> None:
    small = sc.cut(BY_NAME["depthwise"].model(), ["expand:0", "expand:3", "project:1"], BY_NAME["depthwise"].x())
    depth, project = small.get_submodule("depth"), small.get_submodule("project")
    assert (depth.groups, depth.in_channels, depth.out_channels, small.get_submodule("bn").num_features) == (2, 2, 4, 4)
    assert (project.in_channels, project.out_channels, small.get_submodule("fc").in_features) == (4, 4, 4)

    small = sc.cut(BY_NAME["grouped"].model(), ["conv:3"], BY_NAME["grouped"].x())
    grouped = small.get_submodule("grouped")
    assert (grouped.groups, grouped.in_channels, grouped.out_channels, tuple(grouped.weight.shape)) == (
        *(1, 3, 2),
        (2, 3, 3, 3),
    )
    assert small.get_submodule("conv").out_channels == 3

    small = sc.cut(BY_NAME["conv"].model(), ["conv2:4", "fc1:0"], BY_NAME["conv"].x())
    assert small.get_submodule("fc1").in_features == 4 * 4  # 4 positions for each of 4 channels
    assert torch.equal(small.get_submodule("fc1").weight, BY_NAME["conv"].model().get_submodule("fc1").weight[1:, :16])


class TestWhatStays:
    def test_the_network_itself(self) -> None:
        case = BY_NAME["conv"]
        model = case.model()
        before, flags = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
        attributes = [str(module) for module in model.modules()]
        sc.cut(model, ["conv1:0", "fc1:2"], case.x())
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        assert [module.training for module in model.modules()] == flags
        assert [str(module) for module in model.modules()] == attributes
        assert all(p.grad is None for p in model.parameters())

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
    def test_dtype_and_requires_grad(self, dtype: torch.dtype) -> None:
        case = BY_NAME["conv"]
        model = case.model(dtype)
        model.get_submodule("conv2").requires_grad_(False)
        network = network_for(model, case.x(dtype))
        small = cut_module(network, plan_cut(network, some(network.units, 0)))
        for (name, old), (_, new) in zip(model.named_parameters(), small.named_parameters(), strict=True):
            assert isinstance(new, nn.Parameter)
            assert (new.dtype, new.requires_grad) == (old.dtype, old.requires_grad), name
        for (name, old), (_, new) in zip(model.named_buffers(), small.named_buffers(), strict=True):
            assert new.dtype == old.dtype, name

    def test_training_flags_module_by_module(self) -> None:
        case = BY_NAME["conv"]
        model = case.model().train()
        model.get_submodule("bn1").eval()  # a frozen layer
        small = sc.cut(model, ["conv1:0"], case.x())
        assert {name: module.training for name, module in small.named_modules()} == {
            name: module.training for name, module in model.named_modules()
        }
        assert model.training
        model.eval()
        assert not any(module.training for module in sc.cut(model, ["conv1:0"], case.x()).modules())

    def test_buffers_that_no_unit_owns(self) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
        model.register_buffer("note", torch.arange(5), persistent=False)
        small = sc.cut(model, ["0:1"], torch.randn(2, 3))
        assert torch.equal(small.note, torch.arange(5))
        assert "note" not in small.state_dict()
        assert small[1].num_batches_tracked.shape == ()

    def test_storages_are_their_own(self) -> None:
        """A view would keep the whole tensor in memory, and in every file that pickles it."""
        for case in CASES:
            loss = gated(case)
            plan = plan_cut(loss.network, some(loss.units, 3))
            whole = {t.untyped_storage().data_ptr() for t in loss.model.state_dict().values()}
            products = [cut_graph(loss.network, plan), *([cut_module(loss.network, plan)] if case.whole else [])]
            for small in products:
                for name, tensor in small.state_dict().items():
                    assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size(), (case, name)
                    assert tensor.numel() == 0 or tensor.untyped_storage().data_ptr() not in whole, (case, name)
                    assert tensor.is_contiguous(), (case, name)


class Tied(nn.Module):
    """Encoder and decoder share one weight by two names; an alias of a module and a bias used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 5), nn.Linear(5, 5), nn.Linear(5, 5)
        self.head = nn.Linear(5, 2)
        self.c.weight = self.b.weight
        self.c.bias = self.b.bias
        self.alias = self.b

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.c(torch.tanh(self.alias(torch.tanh(self.a(x)))))))


def test_tied_weights_stay_tied() -> None:
    torch.manual_seed(0)
    model, x = Tied().double().eval(), torch.randn(4, 3, dtype=torch.float64)
    small = sc.cut(model, ["a:0", "a:3"], x)
    assert type(small) is Tied
    assert small.alias is small.b
    assert small.c.weight is small.b.weight
    assert small.c.bias is small.b.bias
    assert tuple(small.b.weight.shape) == (3, 3)
    assert [layer.out_features for layer in (small.a, small.b, small.c, small.head)] == [3, 3, 3, 2]
    assert len(list(small.parameters())) == len(list(model.parameters()))


def test_a_transposed_tie_is_refused_or_right() -> None:
    """linear(x, w) and linear(h, w.t()): the columns of the one are the rows of the other."""

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode, self.last = nn.Linear(4, 6), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.tanh(self.encode(x))
            return self.last(torch.tanh(functional.linear(hidden, self.encode.weight.t())))

    torch.manual_seed(0)
    model, x = Autoencoder().double().eval(), torch.randn(5, 4, dtype=torch.float64)
    with pytest.raises(UnitError):
        sc.cut(model, ["encode:1"], x)


class TestTraining:
    @pytest.mark.parametrize("name", ["conv", "residual", "depthwise", "shared", "literal"])
    def test_it_trains_on(self, name: str) -> None:
        case = BY_NAME[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CutWarning)
            small = sc.cut(case.model(), [gated(case).units[0]], case.x())
        if case.whole:
            small.train()
        assert all(p.requires_grad for p in small.parameters())
        optimiser = torch.optim.SGD(small.parameters(), lr=0.05)
        errors = []
        for _ in range(5):
            optimiser.zero_grad()
            error = functional.cross_entropy(small(*case.inputs()), case.target())
            error.backward()
            assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())
            optimiser.step()
            errors.append(error.item())
        assert errors[-1] < errors[0]

    def test_a_network_in_training_mode_can_be_cut(self) -> None:
        case = BY_NAME["conv"]
        model = case.model().train()
        running = model.get_submodule("bn1").running_mean.clone()
        small = sc.cut(model, ["conv1:0"], case.x())
        assert small.training
        assert torch.equal(model.get_submodule("bn1").running_mean, running)
        assert torch.equal(small.get_submodule("bn1").running_mean, running[1:])


class TestCodeWithSizes:
    class View(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.relu(self.conv(x)).view(-1, 16))

    class Slice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(5, 8), nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.tanh(self.fc1(x))
            return self.fc2(x[:, :4]) + self.fc3(x[:, 4:])

    @pytest.mark.parametrize(
        ("network", "shape", "units"),
        [(View, (1, 4, 4), ["conv:0", "conv:2"]), (Slice, (5,), ["fc1:1", "fc1:4", "fc1:6"])],
        ids=["view", "slice"],
    )
    def test_falls_back_to_the_graph(self, network: type[nn.Module], shape: tuple[int, ...], units: list[str]) -> None:
        torch.manual_seed(0)
        model, x = network().double().eval(), torch.randn(3, *shape, dtype=torch.float64)
        with pytest.warns(CutWarning, match=f"{network.__name__} can't be cut as it is .* holds sizes as numbers"):
            small = sc.cut(model, units, x)
        assert isinstance(small, torch.fx.GraphModule)
        assert sc.verify(small, model, units, x) <= 1e-12
        assert {name for name, _ in small.named_parameters()} == {name for name, _ in model.named_parameters()}
        assert small(torch.cat([x, x])).shape == (6, 3)

    def test_a_slice_that_the_cut_lets_be(self) -> None:
        """x[:, :4] of 8 when only units beyond the first four go: the literal is still right."""
        torch.manual_seed(0)
        model, x = self.Slice().double().eval(), torch.randn(3, 5, dtype=torch.float64)
        small = sc.cut(model, ["fc1:5"], x)
        assert type(small) is self.Slice


class TestRefused:
    @pytest.fixture
    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).eval()

    x = torch.ones(2, 3)

    def test_all_of_a_site(self, model: nn.Module) -> None:
        with pytest.raises(UnitError, match=r"all 4 neurons of 0 would go, .* readers \(2\); keep one or more"):
            sc.cut(model, [0, 1, 2, 3], self.x)

    def test_all_of_a_part_of_a_layer(self) -> None:
        """split makes two sites of one layer: neither may be emptied."""
        with pytest.raises(UnitError, match="all 2 neurons of fc would go"):
            sc.cut(BY_NAME["split"].model(), ["fc:0", "fc:1"], BY_NAME["split"].x())

    def test_one_twice(self, model: nn.Module) -> None:
        with pytest.raises(UnitError, match="given more than once: 0:1"):
            sc.cut(model, ["0:1", "2:0", 1], self.x)

    @pytest.mark.parametrize("unit", ["0:4", "fc1:0", "0", "", ":", "0:-1"])
    def test_no_such_unit(self, model: nn.Module, unit: str) -> None:
        with pytest.raises(UnitError, match=r"no unit is called .* layer:index, and the layers are 0, 2"):
            sc.cut(model, [unit], self.x)

    @pytest.mark.parametrize("unit", [9, -1])
    def test_no_such_position(self, model: nn.Module, unit: int) -> None:
        with pytest.raises(UnitError, match=f"unit {unit} does not exist: there are 9"):
            sc.cut(model, [unit], self.x)

    @pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=str)
    def test_units_that_cant_be_cut_exactly(self, case: Case) -> None:
        for layer, reason in case.refused.items():
            index = next(i for i in range(100) if f"{layer}:{i}" not in case.names())
            with pytest.raises(RefusedUnitError, match=f"{layer}:{index} can't be removed exactly: .*{reason}"):
                sc.cut(case.model(), [f"{layer}:{index}"], case.x())

    def test_the_output(self, model: nn.Module) -> None:
        with pytest.raises(RefusedUnitError, match="4:0 can't be removed exactly: 2 units of 4: is an output"):
            sc.cut(model, ["4:0"], self.x)

    def test_units_of_another_network(self, model: nn.Module) -> None:
        other = GatedLoss(nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 2)).eval(), (self.x, torch.tensor([0, 1])))
        with pytest.raises(UnitError, match="no unit is called '0:8'"):
            sc.cut(model, [other.units["0:8"]], self.x)


class TestMoves:
    """Code that moves units about by numbers: the graph is put together again, whatever is left."""

    class Moved(nn.Module):
        def __init__(self, step: Callable[[Tensor], Tensor], width: int) -> None:
            super().__init__()
            self.maker, self.reader, self.step = nn.Linear(4, 6), nn.Linear(width, 3), step

        def forward(self, x: Tensor) -> Tensor:
            return self.reader(self.step(self.maker(x)))

    STEPS: ClassVar[dict[str, tuple[Callable[[Tensor], Tensor], int]]] = {
        "roll": (lambda h: h.roll(1, 1), 6),
        "roll far": (lambda h: h.roll(-4, 1), 6),
        "every second": (lambda h: h[:, 1::2], 3),
        "repeat": (lambda h: h.repeat(1, 2), 12),
        "tile": (lambda h: h.tile(3), 18),
        "repeat each": (lambda h: h.repeat_interleave(2, 1), 12),
        "flip": (lambda h: h.flip(1), 6),
        "swap": (lambda h: torch.cat([h[:, 4:], h[:, :4]], 1), 6),
        "shuffle": (lambda h: functional.channel_shuffle(h[:, :, None], 3)[:, :, 0], 6),
        "pixels": (lambda h: functional.pixel_shuffle(h.repeat_interleave(4, 1)[:, :, None, None], 2).flatten(1), 24),
    }

    @pytest.mark.parametrize("name", STEPS)
    def test_every_subset_of_the_units(self, name: str) -> None:
        torch.manual_seed(0)
        model, x = self.Moved(*self.STEPS[name]).double().eval(), torch.randn(5, 4, dtype=torch.float64)
        network = network_for(model, x)
        count = 0
        for gone in itertools.chain.from_iterable(itertools.combinations(range(len(network.units)), n) for n in (1, 2)):
            gates = torch.ones(len(network.units), dtype=torch.float64)
            gates[list(gone)] = 0.0
            try:
                plan = plan_cut(network, list(gone))
            except UnitError:  # all of a site
                continue
            with torch.no_grad():
                assert far(cut_graph(network, plan)(x), network((x,), gates)) <= 1e-12
            count += 1
        assert count >= 2

    @pytest.mark.parametrize("finer", [1, 2])
    def test_pixels_of_one_channel_go_together(self, finer: int) -> None:
        """Four channels make one finer channel: a unit is all four, never every second row of the image."""
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4 * finer, 1), nn.PixelShuffle(2), nn.Flatten(), nn.Linear(36 * finer, 3)]
        model, x = nn.Sequential(*layers).double().eval(), torch.randn(2, 1, 3, 3, dtype=torch.float64)
        assert [unit.name for unit in network_for(model, x).units] == ["0:0", "0:4"][:finer]
        if finer == 2:
            small = sc.cut(model, ["0:4"], x)
            assert torch.equal(small.get_submodule("0").weight, model[0].weight[:4])
            assert torch.equal(small.get_submodule("3").weight, model[3].weight[:, :36])

    @pytest.mark.parametrize(("rows", "columns"), [(3, 2), (2, 3)])
    def test_a_scale_that_is_broadcast_over_units(self, rows: int, columns: int) -> None:
        """One number for each row of a view: where a unit is a whole row, the number goes with it."""
        torch.manual_seed(0)

        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 2)
                self.scale = nn.Parameter(torch.rand(rows, 1))

            def forward(self, x: Tensor) -> Tensor:
                return self.fc2((self.fc1(x).view(-1, rows, columns) * self.scale).flatten(1))

        model, x = Scaled().double().eval(), torch.randn(5, 4, dtype=torch.float64)
        network = network_for(model, x)
        gates = torch.ones(len(network.units), dtype=torch.float64)
        gates[0] = 0.0
        small = cut_graph(network, plan_cut(network, [0]))
        with torch.no_grad():
            assert far(small(x), network((x,), gates)) <= 1e-12
        left = {parameter.numel() for name, parameter in small.named_parameters() if name == "scale"}
        assert left == ({rows - 1} if rows > columns else {rows})


def test_no_units_is_a_copy() -> None:
    case = BY_NAME["conv"]
    model = case.model()
    small = sc.cut(model, [], case.x())
    assert small is not model
    assert torch.equal(case.answer(small, case.x()), case.answer(model, case.x()))
    assert next(small.parameters()) is not next(model.parameters())


def test_keywords() -> None:
    case = BY_NAME["keywords"]
    small = sc.cut(case.model(), ["tower:2"], case.x())
    assert small.get_submodule("tower").out_features == 5
    assert sc.verify(small, case.model(), ["tower:2"], case.x()) <= 1e-12


def test_mean_off_gives_readers_without_bias_one() -> None:
    """What a unit gave on average goes into the reader's bias, which is made where there is none."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False)).double().eval()
    x = torch.randn(20, 3, dtype=torch.float64)
    loss = GatedLoss(model, (x,), loss="self", off="mean")
    small = cut_network(loss.network, [1], (x,))
    assert isinstance(small, nn.Sequential)
    hidden = torch.tanh(model[0](x)).mean(0)
    assert torch.allclose(small[2].bias, hidden[1] * model[2].weight[:, 1], rtol=0, atol=1e-15)
    assert isinstance(small[2].bias, nn.Parameter)
    assert small[2].bias.requires_grad
    assert small[2].weight.shape == (2, 3)
