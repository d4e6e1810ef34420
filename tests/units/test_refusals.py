"""What can't be cut exactly is refused: by operator, module path and source line. Nothing slips through."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated, ones
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional

from secateur.errors import NoUnitsError
from secateur.gated import GatedLoss
from secateur.types import Refusal
from secateur.units import NOBODY, Graph, UnitSet, discover, rules
from secateur.units.graph import operator_name


def code(refusal: Refusal) -> str:
    """The line of the source file that the refusal points at, which it must quote."""
    place, _, quoted = refusal.source.partition(": ")
    file, _, line = place.rpartition(":")
    assert linecache.getline(file, int(line)).strip() == quoted
    return quoted


def refusals(units: UnitSet) -> dict[str, Refusal]:
    return {refusal.layer: refusal for refusal in units.refused}


@pytest.mark.parametrize(
    ("case", "layer", "count", "operator", "module", "line"),
    [
        ("normalised", "fc1", 6, "aten.layer_norm.default", "norm", "x = torch.tanh(self.fc2(self.norm(self.fc1(x))))"),
        ("normalised", "fc3", 4, "aten.softmax.int", "", "return self.fc4(torch.softmax(self.fc3(x), dim=1))"),
        (
            "no_rule",
            "fc1",
            6,
            "aten.cumsum.default",
            "",
            "return self.fc3(torch.tanh(self.fc2(self.fc1(x).cumsum(1))))",
        ),
        ("input_skip", "fc2", 4, "aten.add.Tensor", "", "return self.fc3(x + self.fc2(torch.tanh(self.fc1(x))))"),
    ],
)
def test_a_refusal_names_operator_module_and_line(
    case: str, layer: str, count: int, operator: str, module: str, line: str
) -> None:
    refusal = refusals(gated(BY_NAME[case]).units)[layer]
    assert (refusal.count, refusal.operator, refusal.module, code(refusal)) == (count, operator, module, line)
    assert all(part in str(refusal) for part in (str(count), layer, refusal.reason, operator, line, __file__[:1]))


class Block(nn.Module):
    """fc1 -> the code in question -> fc2 -> fc3: whatever happens to fc1, fc2 has units."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], width: int = 6) -> None:
        super().__init__()
        self.fc1, self.other, self.fc2, self.fc3 = (
            nn.Linear(6, 6),
            nn.Linear(6, 6),
            nn.Linear(width, 4),
            nn.Linear(4, 2),
        )
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(torch.relu(self.fc2(self.step(self.fc1(x), x))))


def units_of(step: Callable[[Tensor, Tensor], Tensor], width: int = 6) -> UnitSet:
    return discover(Graph.trace(Block(step, width).double().eval(), [torch.randn(3, 6).double()]))


@torch.library.custom_op("secateur_tests::half", mutates_args=())
def half(x: Tensor) -> Tensor:
    return x / 2


@half.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


@pytest.mark.parametrize(
    ("step", "operator", "words"),
    [
        (lambda h, x: half(h), "secateur_tests.half.default", "no rule covers"),
        (lambda h, x: h.cumsum(1), "aten.cumsum.default", "no rule covers"),
        (lambda h, x: h.sort(1).values, "aten.sort.default", "no rule covers"),
        (lambda h, x: h @ torch.eye(6, dtype=h.dtype), "aten.matmul.default", "no rule covers"),
        (lambda h, x: h[:, [1, 0, 2, 3, 4, 5]], "aten.index.Tensor", "no rule covers"),
        (lambda h, x: functional.layer_norm(h, (6,)), "aten.layer_norm.default", "normalised over"),
        (lambda h, x: functional.rms_norm(h, (6,)), "aten.rms_norm.default", "normalised over"),
        (lambda h, x: functional.group_norm(h, 2), "aten.group_norm.default", "normalised over"),
        (lambda h, x: h.softmax(1), "aten.softmax.int", "normalised over"),
        (lambda h, x: h.log_softmax(-1), "aten.log_softmax.int", "normalised over"),
        (lambda h, x: h - h.mean(1, keepdim=True), "aten.mean.dim", "summed over"),
        (lambda h, x: h * h.sum(dim=1, keepdim=True), "aten.sum.dim_IntList", "summed over"),
        (lambda h, x: h / h.amax(1, keepdim=True), "aten.amax.default", "summed over"),
        (lambda h, x: functional.normalize(h, dim=1), "aten.linalg_vector_norm.default", "summed over"),
        (lambda h, x: h + x, "aten.add.Tensor", "fixed size"),
        (lambda h, x: x * h, "aten.mul.Tensor", "fixed size"),
        (lambda h, x: h * torch.arange(6), "aten.mul.Tensor", "fixed size"),
        (lambda h, x: torch.where(x > 0, h, 0.0), "aten.where.ScalarOther", "fixed size"),
        (
            lambda h, x: functional.avg_pool1d(h.unsqueeze(1), 3, 1, 1).squeeze(1),
            "aten.avg_pool1d.default",
            "mixes units",
        ),
        (lambda h, x: functional.pad(h.unsqueeze(1), (1, 1), "reflect")[:, 0, 1:7], "aten.pad.default", "copies"),
    ],
)
def test_units_that_reach_such_code_are_refused(
    step: Callable[[Tensor, Tensor], Tensor], operator: str, words: str
) -> None:
    """The units of fc1 are refused, by name of the operator; those of fc2, which don't reach it, are free."""
    units = units_of(step)
    assert [unit.name for unit in units] == ["fc2:0", "fc2:1", "fc2:2", "fc2:3"]
    refusal = next(refusal for refusal in units.refused if refusal.layer == "fc1")
    assert (refusal.operator, words in refusal.reason) == (operator, True), str(refusal)
    assert "self.step(self.fc1(x), x)" in code(refusal)  # torch records the lines of forward() alone


@pytest.mark.parametrize(
    "step",
    [
        lambda h, x: half(x) * 0 + h[:, :1] * 0 + functional.linear(h, torch.eye(6, dtype=h.dtype)),
        lambda h, x: functional.conv1d(h.unsqueeze(2), torch.ones(6, 6, 1, dtype=h.dtype)).squeeze(2) * h.sum(),
    ],
)
def test_units_that_meet_weights_which_are_no_parameters_are_refused(step: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert "fc1" not in {unit.layer for unit in units_of(step)}


def test_what_is_cropped_away_is_refused() -> None:
    """Negative padding crops neuron 0, and puts a column of zeros at the end that no unit owns."""
    units = units_of(lambda h, x: functional.pad(h, (-1, 1)))
    assert [unit.name for unit in units if unit.layer == "fc1"] == [f"fc1:{i}" for i in range(1, 6)]
    assert units.slices["fc2.weight"][1].tolist() == [0, 1, 2, 3, 4, NOBODY]
    refusal = next(refusal for refusal in units.refused if refusal.layer == "fc1")
    assert (refusal.count, "cropped away" in refusal.reason) == (1, True)


def test_operators_that_no_unit_reaches_do_not_matter() -> None:
    """The same cumulative sum and custom operator on the input are nobody's business."""
    with_them = units_of(lambda h, x: h * half(x.cumsum(1)).sort(1).values[:, :1])
    assert [unit.layer for unit in with_them].count("fc1") == 6


def test_a_gate_of_one_channel_on_many_is_refused_and_the_many_are_free() -> None:
    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.gate, self.last = nn.Linear(4, 5), nn.Linear(4, 1), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.fc(x) * torch.sigmoid(self.gate(x)))

    units = discover(Graph.trace(Gate().eval(), [torch.randn(2, 4)]))
    assert [unit.name for unit in units] == [f"fc:{i}" for i in range(5)]
    assert "broadcast over other units" in refusals(units)["gate"].reason


def test_units_that_are_an_answer_are_refused() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.relu(self.fc1(x))
            return self.fc3(torch.relu(self.fc2(h))), h

    units = discover(Graph.trace(Two().eval(), [torch.randn(2, 4)]))
    assert {unit.layer for unit in units} == {"fc2"}
    assert refusals(units)["fc1"].reason == "is an output of the network"


def test_a_weight_that_is_something_else_elsewhere_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.fc2(torch.relu(self.fc1(x))))
            return self.fc3(h) + torch.tanh(self.fc2.weight).sum()

    with pytest.raises(NoUnitsError) as caught:
        discover(Graph.trace(Odd().eval(), [torch.randn(2, 4)]))
    for layer in ("fc1", "fc2"):
        assert (
            f"4 units of {layer}: parameter fc2.weight is a weight here and something else elsewhere, at "
            "aten.tanh.default"
        ) in str(caught.value)


def test_no_units_at_all_is_an_error_that_lists_why() -> None:
    x = torch.ones(2, 3)
    with pytest.raises(NoUnitsError, match=r"Linear has no unit[\s\S]*2 units of weight: is an output of the network"):
        GatedLoss(nn.Linear(3, 2).eval(), (x, torch.zeros(2, 2)), "sse")
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).eval()
    with pytest.raises(NoUnitsError, match=r"4 units of 0: is normalised over"):
        GatedLoss(model, (x, torch.zeros(2, 2)), "sse")
    with pytest.raises(NoUnitsError, match="no linear or convolution"):
        discover(Graph.trace(nn.ReLU(), [x]))


def reached(units: UnitSet, nodes: Sequence[Node]) -> Iterator[str]:
    """The units that lie in an input of one of these operators."""
    for node in nodes:
        for source in node.all_input_nodes:
            values = units.values.get(source)
            for owners in values if isinstance(values, list) else [values]:
                for owner in owners.values() if isinstance(owners, dict) else ():  # others are sizes
                    yield from (units[at].name for at in owner.unique().tolist() if at >= 0)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_fail_closed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the row of each operator in turn: every unit that reaches the operator is refused then, by its name.

    So no label gets past an operator without a rule; and no row can be lost without a test that shows it.
    """
    graph, units = gated(case).network.graph, gated(case).units
    for operator in {operator_name(node) for node in graph.nodes} & rules.RULES.keys():
        nodes = [node for node in graph.nodes if operator_name(node) == operator]
        lost = set(reached(units, nodes))
        contraction = rules.RULES[operator].contraction is not None
        with monkeypatch.context() as patch:
            patch.delitem(rules.RULES, operator)
            left, reasons = discovered(graph)
        assert lost.isdisjoint(left), operator
        if lost and not contraction:  # contractions are also what makes the units
            assert f"no rule covers, at {operator}" in reasons


def discovered(graph: Graph) -> tuple[list[str], str]:
    """The units, and why others are refused."""
    try:
        units = discover(graph)
    except NoUnitsError as error:
        return [], str(error)
    return [unit.name for unit in units], "\n".join(map(str, units.refused))


def test_fail_closed_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were an unknown operator taken for element-wise, as others do, the units that reach it would not be refused."""
    monkeypatch.setattr(rules, "unknown", rules.pointwise)
    assert "fc1" in {unit.layer for unit in units_of(lambda h, x: half(h))}


def test_ones_has_one_refusal() -> None:
    (refusal,) = discover(Graph.trace(ones(2, 3, 1), [torch.ones(1, 2)])).refused
    assert refusal == Refusal("1", 1, "output", "", "", "is an output of the network")
