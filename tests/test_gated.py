"""E(g): equal to the plain network at g = 1, to a network of scaled columns elsewhere; shapes, gradients, errors."""

from __future__ import annotations

import brute
import pytest
import torch
from cases import BY_NAME, CASES, Case, gated, ones, scaled
from torch import Tensor, nn

from secateur.errors import DataError, NonFiniteError, OptionError, TraceError, UnitError
from secateur.gated import GatedLoss, GatedNetwork, exactly
from secateur.units import discover

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


@DTYPES
@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_on_is_the_plain_network(case: Case, dtype: torch.dtype) -> None:
    loss, model = gated(case, dtype), case.model(dtype)
    expected = brute.losses(case, model)
    bound = brute.TOLERANCE[dtype] * 2 * float(expected.abs().sum())
    assert abs(float(loss()) - float(expected.sum())) <= bound
    assert torch.equal(loss(), loss(loss.gates()))
    assert (loss.per_example() - expected).abs().sum() <= bound
    assert (loss.outputs() - case.answer(model, case.x(dtype))).abs().max() <= 1e-5
    error, outputs = loss.measure()
    assert torch.equal(error, loss())
    assert torch.equal(outputs, loss.outputs())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_gates(case: Case) -> None:
    """Each unit's columns, multiplied by its gate: negative ones, large ones, all at once."""
    loss, model = gated(case), case.model()
    gates = torch.randn(len(loss.units), dtype=torch.float64)
    for unit, gate in zip(case.names(), gates.tolist(), strict=True):
        model = scaled(model, [case.columns(unit)], gate)
    expected = brute.losses(case, model)
    assert (loss.per_example(gates) - expected).abs().sum() <= 1e-11 * float(expected.abs().sum())


def test_weights_of_ones() -> None:
    """2-3-1 of ones on x = (1, 1), target 0: the answer is 2 (g0 + g1 + g2), and E half its square."""
    loss = GatedLoss(ones(2, 3, 1).double().eval(), (torch.ones(4, 2).double(), torch.zeros(4, 1).double()), "sse")
    assert float(loss()) == 4 * 36 / 2
    assert float(loss(torch.tensor([1.0, 0.0, 1.0]))) == 4 * 16 / 2
    assert float(loss(torch.tensor([0.5, -1.0, 0.0]))) == 4 * 1 / 2
    assert float(loss(torch.zeros(3))) == 0.0
    assert loss.per_example(torch.tensor([1.0, 0.0, 0.0])).tolist() == [2.0] * 4
    assert loss.outputs(torch.tensor([3.0, 0.0, 0.0])).tolist() == [[6.0]] * 4


class TestShapes:
    loss = property(lambda self: gated(BY_NAME["gelu"]))

    def test_a_vector_gives_a_number(self) -> None:
        assert self.loss(torch.ones(13)).shape == ()
        assert self.loss().dtype == torch.float64

    def test_a_batch_gives_a_vector(self) -> None:
        gates = torch.rand(4, 13, dtype=torch.float64)
        found = self.loss(gates)
        assert (found.shape, found.dtype) == ((4,), torch.float64)
        assert torch.equal(found, torch.stack([self.loss(row) for row in gates]))

    def test_an_empty_batch(self) -> None:
        assert self.loss(torch.ones(0, 13)).shape == (0,)

    def test_float32_gates_are_taken(self) -> None:
        assert torch.equal(self.loss(torch.ones(13)), self.loss())

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize(
        "gates", [torch.ones(12), torch.ones(14), torch.ones(2, 12), torch.ones(1, 1, 13), torch.ones(()), [1.0] * 13]
    )
    def test_other_shapes_are_refused(self, gates: object) -> None:
        with pytest.raises(UnitError, match=r"gates are .*; expected a tensor \(13,\) or \(B, 13\): one a unit"):
            self.loss(gates)

    @pytest.mark.parametrize("value", [torch.nan, torch.inf])
    def test_gates_that_are_no_numbers_are_refused(self, value: float) -> None:
        with pytest.raises(NonFiniteError, match="a gate is NaN or infinite"):
            self.loss(torch.full((13,), value))

    def test_gates_of_the_units_that_are_on(self) -> None:
        assert self.loss.gates().tolist() == [1.0] * 13
        assert self.loss.gates(torch.tensor([0, 12])).tolist() == [1.0] + [0.0] * 11 + [1.0]


class TestGradients:
    def test_flow_through_a_call(self) -> None:
        loss = gated(BY_NAME["squeeze_excite"])
        gates = loss.gates().requires_grad_(True)
        loss(gates).backward()
        assert torch.allclose(gates.grad, loss.gradient(), rtol=1e-12)

    def test_flow_through_a_batch(self) -> None:
        loss = gated(BY_NAME["gelu"])
        gates = torch.rand(3, 13, dtype=torch.float64, requires_grad=True)
        loss(gates).sum().backward()
        rows = [loss.gradient(row.detach()) for row in gates]
        assert torch.allclose(gates.grad, torch.stack(rows), rtol=1e-12)

    def test_reach_no_weight(self) -> None:
        loss = gated(BY_NAME["gelu"])
        loss(loss.gates().requires_grad_(True)).backward()
        assert all(parameter.grad is None for parameter in loss.model.parameters())

    def test_need_no_grad_mode(self) -> None:
        loss = gated(BY_NAME["gelu"])
        with torch.no_grad():
            assert torch.equal(loss.gradient(), loss.gradient())
            assert not loss(loss.gates().requires_grad_(True)).requires_grad
        assert not loss().requires_grad


class TestOtherExamples:
    def test_are_those_of_a_loss_of_their_own(self) -> None:
        case = BY_NAME["conv"]
        x, y = torch.randn(5, 2, 10, 10).double(), torch.randint(3, (5,))
        other, own = gated(case).on((x, y)), GatedLoss(case.model(), (x, y), case.loss)
        gates = torch.rand(15, dtype=torch.float64)
        assert torch.equal(other(gates), own(gates))
        assert torch.equal(other.targets, y)
        assert len(gated(case).examples) == 10  # the first loss stays as it was

    def test_share_units_and_network(self) -> None:
        loss = gated(BY_NAME["conv"])
        other = loss.on(BY_NAME["conv"].data())
        assert other.units is loss.units
        assert other.network is loss.network

    def test_keep_the_means_of_the_first(self) -> None:
        """off="mean" means the mean over the examples that rank, also where it is judged on others."""
        case = BY_NAME["gelu"]
        loss = gated(case, off="mean")
        x, y = case.data()
        alone = torch.stack([loss.on((x[n : n + 1], y[n : n + 1]))(torch.zeros(13)) for n in range(10)])
        assert torch.allclose(alone.sum(), loss(torch.zeros(13)), rtol=1e-12)

    def test_are_checked_too(self) -> None:
        with pytest.raises(DataError, match="class indices from 0 to 9"):
            gated(BY_NAME["gelu"]).on((torch.randn(2, 5).double(), torch.tensor([0, 9])))


class TestOff:
    def test_zero_is_the_default(self) -> None:
        assert gated(BY_NAME["gelu"]).off == "zero"

    @pytest.mark.usefixtures("unchecked")
    @pytest.mark.parametrize("off", ["Zero", "median", None])
    def test_another_meaning_is_refused(self, off: str) -> None:
        case = BY_NAME["gelu"]
        with pytest.raises(OptionError, match="expected 'zero' or 'mean'"):
            GatedLoss(case.model(), case.data(), off=off)

    def test_mean_changes_nothing_where_all_is_on(self) -> None:
        case = BY_NAME["dense"]
        assert torch.allclose(gated(case, off="mean")(), gated(case)(), rtol=1e-13)

    def test_mean_is_exact_for_a_unit_that_does_not_vary(self) -> None:
        """A neuron without incoming weights gives a constant: off="mean" takes nothing away, off="zero" does."""
        model = BY_NAME["gelu"].model()
        with torch.no_grad():
            model.fc1.weight[2], model.fc1.bias[2] = 0.0, 1.5
        data = BY_NAME["gelu"].data()
        gates = torch.ones(13)
        gates[2] = 0.0
        mean, zero = (GatedLoss(model, data, off=off) for off in ("mean", "zero"))
        assert abs(float(mean(gates)) - float(mean())) <= 1e-13 * float(mean())
        assert abs(float(zero(gates)) - float(zero())) > 1e-3 * float(zero())


def test_weights_are_looked_up_anew_in_each_call() -> None:
    case = BY_NAME["gelu"]
    model = case.model()
    loss = GatedLoss(model, case.data(), case.loss)
    with torch.no_grad():
        model.fc2.weight *= 2
    assert abs(float(loss()) - float(brute.losses(case, model).sum())) <= 1e-12 * float(loss())


def test_readers_are_gated_not_makers() -> None:
    """A sigmoid unit that is off gives 0, not 1/2; a BatchNorm's shift does not leak."""
    model = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Sigmoid(), nn.Linear(2, 1, bias=False)).double().eval()
    nn.init.ones_(model[1].bias)
    loss = GatedLoss(model, (torch.randn(3, 1).double(), torch.zeros(3, 1).double()), "sse")
    assert loss.outputs(torch.zeros(2)).tolist() == [[0.0]] * 3


def test_float32_runs_at_full_precision_and_gives_the_setting_back() -> None:
    """Whatever the user has set: TensorFloat-32 and bfloat16 products never decide."""
    case = BY_NAME["gelu"]
    expected = float(gated(case, torch.float32)())
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert float(gated(case, torch.float32)()) == expected
        with exactly():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
        with pytest.raises(UnitError), exactly():
            raise UnitError
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_loss_without_targets_has_no_targets() -> None:
    loss = GatedLoss(BY_NAME["gelu"].model(), BY_NAME["gelu"].inputs()[0], "self")
    with pytest.raises(DataError, match="no targets"):
        _ = loss.targets


def test_a_gated_network_answers_without_a_loss() -> None:
    case = BY_NAME["residual"]
    graph = gated(case).network.graph
    network = GatedNetwork(graph, discover(graph))
    answer: Tensor = network(case.inputs(), torch.ones(20))
    assert torch.allclose(answer, case.answer(case.model(), case.x()), rtol=0, atol=1e-12)


def test_one_example_and_uneven_tiles() -> None:
    case = BY_NAME["conv"]
    assert len(list(GatedLoss(case.model(), case.data(examples=1), case.loss).tiles())) == 1
    loss = GatedLoss(case.model(), case.data(), case.loss, tile=4)
    assert [len(tile) for tile in loss.tiles()] == [4, 4, 2]
    assert [(tile.start, tile.stop) for tile in loss.tiles()] == [(0, 4), (4, 8), (8, 10)]
    assert torch.allclose(loss(), gated(case)(), rtol=1e-12)


def test_answers_that_hang_together_are_refused() -> None:
    """Each example less the mean over the batch; and less the first of the batch, which does not change the first."""

    class Coupled(nn.Module):
        def __init__(self, first: bool) -> None:
            super().__init__()
            self.fc1, self.fc2, self.first = nn.Linear(3, 4), nn.Linear(4, 2), first

        def forward(self, x: Tensor) -> Tensor:
            h = torch.tanh(self.fc1(x))
            return self.fc2(h - (h[:1] if self.first else h.mean(0, keepdim=True)))

    for first in (False, True):
        with pytest.raises(TraceError, match="in other company"):
            GatedLoss(Coupled(first).double().eval(), (torch.randn(5, 3).double(), torch.randint(2, (5,))))
