"""Units, sites, readers and slices against what was worked out by hand (tests/cases.py)."""

from __future__ import annotations

import pytest
import torch
from cases import BY_NAME, CASES, ZOO, Case, gated, ones

from secateur.errors import RefusedUnitError, UnitError
from secateur.gated import GatedLoss
from secateur.types import Site, Unit
from secateur.units import NOBODY, Graph, UnitSet, discover

ALL = pytest.mark.parametrize("case", [*CASES, *ZOO], ids=str)


def readers(units: UnitSet, graph: Graph, unit: str) -> dict[str, list[int]]:
    """Name of each weight that reads the unit -> the columns, as secateur found them."""
    at, found = units.position(unit), {}
    for reading in units.readings:
        if columns := (reading.owner == at).nonzero().flatten().tolist():
            found[graph.names[reading.node.args[1]]] = columns
    return found


def goes_with(units: UnitSet, unit: str) -> dict[str, dict[int, list[int]]]:
    """Parameter or buffer -> dimension -> the indices that go when the unit goes."""
    at = units.position(unit)
    found = {
        name: {d: (owner == at).nonzero().flatten().tolist() for d, owner in dims.items() if bool((owner == at).any())}
        for name, dims in units.slices.items()
    }
    return {name: dims for name, dims in found.items() if dims}


@ALL
def test_the_units_are_those_worked_out_by_hand(case: Case) -> None:
    assert [unit.name for unit in gated(case).units] == case.names()


@ALL
def test_each_unit_is_read_by_the_columns_worked_out_by_hand(case: Case) -> None:
    loss = gated(case)
    for unit in loss.units:
        expected = {weight: list(columns) for weight, columns in case.columns(unit.name).items()}
        assert readers(loss.units, loss.network.graph, unit.name) == expected


@ALL
def test_sites(case: Case) -> None:
    """One site a layer, unless its units pass through different tensors; each unit stands in just one."""
    units = gated(case).units
    expected = case.sites or [(layer, tuple(indices)) for layer, (indices, _) in case.reads.items()]
    assert [(site.layer, tuple(units[u].index for u in site.units)) for site in units.sites] == expected
    assert sorted(u for site in units.sites for u in site.units) == list(range(len(units)))


@ALL
def test_refused_layers_tell_why(case: Case) -> None:
    """Those that the table names, and the last layer, whose units are the answer; no others."""
    refused = {refusal.layer: refusal for refusal in gated(case).units.refused}
    for layer, words in case.refused.items():
        assert words in refused[layer].reason
    (last,) = refused.keys() - case.refused.keys()
    assert refused[last].reason.startswith(("is an output of the network", "is normalised over"))


@pytest.mark.parametrize(
    ("case", "layer", "makers", "readers"),
    [
        ("residual", "stem", ("stem", "block1.conv2"), ("block1.conv1", "block2.conv1", "block2.downsample.conv")),
        ("residual", "block2.conv2", ("block2.conv2", "block2.downsample.conv"), ("fc",)),
        ("dense", "conv1", ("conv1",), ("conv2", "conv3", "fc")),
        ("depthwise", "expand", ("expand", "depth"), ("project",)),
        ("grouped", "conv", ("conv", "grouped"), ("fc",)),
        ("shared", "first", ("first", "shared"), ("shared", "last")),
        ("squeeze_excite", "conv1", ("conv1", "up"), ("down", "conv2")),
        ("layer_scale", "stem", ("stem", "down"), ("up", "head")),
        ("functional", "w1", ("w1",), ("",)),
    ],
)
def test_makers_and_readers_of_a_site(case: str, layer: str, makers: tuple[str, ...], readers: tuple[str, ...]) -> None:
    units = gated(BY_NAME[case]).units
    (site,) = (site for site in units.sites if site.layer == layer)
    assert (site.makers, site.readers) == (makers, readers)


@pytest.mark.parametrize(
    ("case", "unit", "slices"),
    [
        ("sigmoid", "fc2:3", {"fc2.weight": {0: [3]}, "fc2.bias": {0: [3]}, "fc3.weight": {1: [3]}}),
        (
            "conv",
            "conv2:1",
            {
                "conv2.weight": {0: [1]},
                "bn2.weight": {0: [1]},
                "bn2.bias": {0: [1]},
                "bn2.running_mean": {0: [1]},
                "bn2.running_var": {0: [1]},
                "fc1.weight": {1: [4, 5, 6, 7]},
            },
        ),
        (
            "residual",
            "stem:2",
            {
                "stem.weight": {0: [2]},
                **{f"bn.{name}": {0: [2]} for name in ("weight", "bias", "running_mean", "running_var")},
                "block1.conv2.weight": {0: [2]},
                **{f"block1.bn2.{name}": {0: [2]} for name in ("weight", "bias", "running_mean", "running_var")},
                "block1.conv1.weight": {1: [2]},
                "block2.conv1.weight": {1: [2]},
                "block2.downsample.conv.weight": {1: [2]},
            },
        ),
        (
            "depthwise",
            "expand:1",
            {
                "expand.weight": {0: [1]},
                "expand.bias": {0: [1]},
                "depth.weight": {0: [2, 3]},
                "depth.bias": {0: [2, 3]},
                **{f"bn.{name}": {0: [2, 3]} for name in ("weight", "bias", "running_mean", "running_var")},
                "project.weight": {1: [2, 3]},
            },
        ),
        (
            "grouped",
            "conv:3",
            {
                "conv.weight": {0: [3, 4, 5]},
                "conv.bias": {0: [3, 4, 5]},
                "grouped.weight": {0: [2, 3]},
                "grouped.bias": {0: [2, 3]},
                "fc.weight": {1: [2, 3]},
            },
        ),
        (
            "shared",
            "first:4",
            {
                "first.weight": {0: [4]},
                "first.bias": {0: [4]},
                "shared.weight": {0: [4], 1: [4]},
                "shared.bias": {0: [4]},
                "last.weight": {1: [4]},
            },
        ),
        ("chunk", "fc1:1", {"fc1.weight": {0: [1, 5]}, "fc1.bias": {0: [1, 5]}, "fc2.weight": {1: [1]}}),
        (
            "layer_scale",
            "stem:0",
            {
                "stem.weight": {0: [0]},
                "stem.bias": {0: [0]},
                "down.weight": {0: [0]},
                "down.bias": {0: [0]},
                "gamma": {0: [0]},
                "up.weight": {1: [0]},
                "head.weight": {1: [0]},
            },
        ),
        (
            "prelu",
            "fc1:2",
            {"fc1.weight": {0: [2]}, "fc1.bias": {0: [2]}, "each.weight": {0: [2]}, "fc2.weight": {1: [2]}},
        ),
        (
            "waves",
            "fc1:3",
            {"fc1.weight": {0: [3]}, "fc1.bias": {0: [3]}, "frequency": {0: [3]}, "fc2.weight": {1: [3]}},
        ),
    ],
)
def test_what_goes_when_a_unit_goes(case: str, unit: str, slices: dict[str, dict[int, list[int]]]) -> None:
    """The unit's slices of every parameter and buffer, and nothing else."""
    assert goes_with(gated(BY_NAME[case]).units, unit) == slices


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("gelu", {"neuron"}),
        ("functional", {"neuron"}),
        ("residual", {"channel"}),
        ("conv1d", {"channel"}),
        ("conv", {"neuron", "channel"}),
    ],
)
def test_kinds(case: str, kinds: set[str]) -> None:
    assert {unit.kind for unit in gated(BY_NAME[case]).units} == kinds


def test_kind_is_that_of_the_layer() -> None:
    units = gated(BY_NAME["conv"]).units
    assert {unit.layer: unit.kind for unit in units} == {"conv1": "channel", "conv2": "channel", "fc1": "neuron"}


def test_units_are_made_by_order_of_execution_not_of_definition() -> None:
    model = BY_NAME["tokens"].model()
    model.register_module("embed", model._modules.pop("embed"))  # last in the module, first to run
    units = discover(Graph.trace(model, BY_NAME["tokens"].inputs()))
    assert [unit.name for unit in units] == BY_NAME["tokens"].names()


class TestUnitSet:
    @pytest.fixture
    def units(self) -> UnitSet:
        return gated(BY_NAME["sigmoid"]).units

    def test_is_a_sequence(self, units: UnitSet) -> None:
        assert len(units) == 13
        assert units[0] == Unit("fc1", 0, "neuron")
        assert units["fc2:6"] is units[12]
        assert units[-1] is units[12]
        assert list(units[6:8]) == [Unit("fc2", 0, "neuron"), Unit("fc2", 1, "neuron")]
        assert list(units)[12].name == "fc2:6"
        assert units[3] in units

    def test_repr_tells_the_sites(self, units: UnitSet) -> None:
        assert repr(units) == "UnitSet(13 units; fc1: 6 neurons, fc2: 7 neurons)"

    def test_sites(self, units: UnitSet) -> None:
        assert units.sites == (
            Site("fc1", "neuron", tuple(range(6)), ("fc1",), ("fc2",)),
            Site("fc2", "neuron", tuple(range(6, 13)), ("fc2",), ("fc3",)),
        )

    def test_a_position_is_found_by_unit_name_or_number(self, units: UnitSet) -> None:
        assert units.position(units[7]) == units.position("fc2:1") == units.position(7) == 7
        assert units.positions(["fc2:1", 0, units[12]]) == [7, 0, 12]

    @pytest.mark.parametrize("unit", [13, -1, "fc2:7", "fc9:0", "fc1", "", True])
    def test_no_such_unit(self, units: UnitSet, unit: str | int) -> None:
        with pytest.raises(UnitError):
            units.position(unit)

    def test_an_unknown_name_is_answered_with_the_layers(self, units: UnitSet) -> None:
        with pytest.raises(UnitError, match=r"no unit is called 'fc9:0'.*layers are fc1, fc2"):
            units.position("fc9:0")

    def test_a_refused_unit_is_answered_with_the_reason(self) -> None:
        units = gated(BY_NAME["normalised"]).units
        with pytest.raises(RefusedUnitError, match=r"fc1:2 can't be removed exactly: .*normalised over.*layer_norm"):
            units.position("fc1:2")

    def test_a_unit_given_twice_is_named(self, units: UnitSet) -> None:
        with pytest.raises(UnitError, match="more than once: fc1:2"):
            units.positions(["fc1:2", 2, 3])

    def test_kept(self, units: UnitSet) -> None:
        gone = torch.zeros(13, dtype=torch.bool)
        gone[[1, 7]] = True
        rows, columns = units.kept((7, 6), units.slices["fc2.weight"], gone)
        assert rows.tolist() == [0, 2, 3, 4, 5, 6]
        assert columns.tolist() == [0, 2, 3, 4, 5]


def test_weights_of_ones_tell_everything() -> None:
    """2-3-1 of ones without bias: three neurons, each in column i of the second layer."""
    model = ones(2, 3, 1).double().eval()
    loss = GatedLoss(model, (torch.ones(4, 2).double(), torch.zeros(4, 1).double()), "sse")
    assert [unit.name for unit in loss.units] == ["0:0", "0:1", "0:2"]
    assert goes_with(loss.units, "0:1") == {"0.weight": {0: [1]}, "1.weight": {1: [1]}}
    assert [str(refusal) for refusal in loss.units.refused] == ["1 unit of 1: is an output of the network"]


def test_the_values_between_know_their_units() -> None:
    """`values`: dimension -> the unit that owns each index, of every value in the graph."""
    loss = gated(BY_NAME["chunk"])
    by_operator = {str(node.target): owner for node, owner in loss.units.values.items()}
    assert by_operator["aten.linear.default"][1].tolist() == [NOBODY] * 3  # the last one: the answer has no units
    assert by_operator["aten.mul.Tensor"].keys() == {1}
    assert by_operator["aten.mul.Tensor"][1].tolist() == [0, 1, 2, 3]
    linear = next(node for node in loss.network.graph.nodes)
    assert loss.units.values[linear][1].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
