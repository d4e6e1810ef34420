"""What a user may hand in by mistake: each gets an error that says what came and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

import secateur as sc
from secateur.errors import (
    DataError,
    ModeError,
    NondeterministicError,
    NonFiniteError,
    NoUnitsError,
    OptionError,
    TraceError,
    UnitError,
    UnknownNameError,
)

pytestmark = pytest.mark.usefixtures("unchecked")  # our own errors, not those of the shape checks in tests


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def examples(count: int = 20) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 4), torch.randint(3, (count,))


X, Y = examples()


class Forward(nn.Module):
    """Two linear layers with something between."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2, self.between = nn.Linear(4, 6), nn.Linear(6, 3), between

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.between(self.fc1(x)))


class TestNetwork:
    def test_training_mode(self) -> None:
        with pytest.raises(ModeError, match=r"training mode.*Call model\.eval\(\)"):
            sc.score(perceptron().train(), (X, Y))

    def test_one_layer_in_training_mode(self) -> None:
        model = nn.Sequential(nn.Linear(4, 6), nn.Dropout(), nn.Linear(6, 3)).eval()
        model[1].train()
        with pytest.raises(ModeError, match=r"training mode \(1\)"):
            sc.score(model, (X, Y))

    def test_dropout_that_is_always_active(self) -> None:
        with pytest.raises(ModeError, match=r"training=self\.training"):
            sc.score(Forward(lambda h: functional.dropout(h, 0.5)).eval(), (X, Y))

    @pytest.mark.parametrize(
        "between",
        [
            lambda h: h + torch.randn_like(h),
            lambda h: h + float(np.random.rand()),  # noqa: NPY002 - drawn outside of torch, where no graph shows it
            lambda h: h * torch.bernoulli(torch.full_like(h, 0.5)),
            lambda h: functional.alpha_dropout(h, 0.5, training=True),
            lambda h: functional.dropout2d(h[:, :, None, None], 0.5)[:, :, 0, 0],
        ],
        ids=["normal", "numpy", "mask", "alpha dropout", "channel dropout"],
    )
    def test_noise(self, between: Callable[[Tensor], Tensor]) -> None:
        with pytest.raises(NondeterministicError, match="two answers to the same examples"):
            sc.score(Forward(between).eval(), (X, Y))

    def test_examples_that_look_at_each_other(self) -> None:
        with pytest.raises(TraceError, match="in other company"):
            sc.score(Forward(lambda h: h - h.mean(0, keepdim=True)).eval(), (X, Y))

    def test_batch_norm_without_running_statistics(self) -> None:
        model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3)).eval()
        with pytest.raises((TraceError, NoUnitsError)):
            sc.score(model, (X, Y))

    def test_hooks_are_part_of_the_network(self) -> None:
        model, doubled = perceptron(), Forward(lambda h: 2 * functional.relu(h)).eval()
        doubled.fc1.load_state_dict(model[0].state_dict())
        doubled.fc2.load_state_dict(model[2].state_dict())
        model[1].register_forward_hook(lambda module, inputs, output: 2 * output)
        assert torch.equal(sc.score(model, (X, Y)).values, sc.score(doubled, (X, Y)).values)

    def test_a_network_that_is_not_what_was_captured(self) -> None:
        count = iter([1.0, 1.0, 2.0, 2.0, 2.0])  # capturing sees another world than the calls that follow
        with pytest.raises(TraceError, match="does not answer as Forward does"):
            sc.score(Forward(lambda h: h * next(count)).eval(), (X, Y))

    def test_an_operator_without_a_rule(self) -> None:
        with pytest.raises(
            NoUnitsError, match=r"6 units of fc1: reaches an operator that no rule covers, at aten\.cumsum"
        ):
            sc.score(Forward(lambda h: h.cumsum(1)).eval(), (X, Y))

    def test_no_units(self) -> None:
        with pytest.raises(NoUnitsError, match=r"Linear has no unit.*\n.*output of the network"):
            sc.score(nn.Linear(4, 3).eval(), (X, Y))

    def test_no_parameters(self) -> None:
        with pytest.raises(NoUnitsError, match="Identity has no unit"):
            sc.score(nn.Identity().eval(), (torch.randn(20, 3), Y))

    def test_code_that_cannot_be_captured(self) -> None:
        with pytest.raises(TraceError, match=r"torch\.export could not capture"):
            sc.score(Forward(lambda h: h if h.sum() > 0 else -h).eval(), (X, Y))

    @pytest.mark.parametrize("between", [lambda h: h.view(2, 6), lambda h: h.view(len(h), 6)], ids=["number", "len"])
    def test_a_batch_size_in_the_code(self, between: Callable[[Tensor], Tensor]) -> None:
        """len(x) is a number too for torch.export: that of the examples it was shown."""
        with pytest.raises(TraceError, match=r"fixes the size of dimension 0 of input 'x' at 2.* by x\.shape\[0\]"):
            sc.score(Forward(between).eval(), (X[:2], Y[:2]))

    @pytest.mark.parametrize("model", [None, nn.Linear, lambda x: x], ids=["none", "class", "function"])
    def test_no_network(self, model: Any) -> None:
        with pytest.raises(OptionError, match=r"is a (NoneType|type|function); expected a torch\.nn\.Module"):
            sc.score(model, (X, Y))

    def test_answers_of_an_unknown_kind(self) -> None:
        class Scores(nn.Module):
            def forward(self, x: Tensor) -> dict[str, Tensor]:
                return {"scores": x}

        with pytest.raises(
            DataError, match=r"answers with a dict; expected a tensor, a tuple, or something with logits"
        ):
            sc.score(Scores().eval(), (X, Y))

    def test_answers_with_nan(self) -> None:
        with pytest.raises(NonFiniteError, match="answer to example 0"):
            sc.score(Forward(lambda h: h / 0.0 * 0.0).eval(), (X, Y))


class Augmenting(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.randn(4), torch.tensor(index % 3)


class TestData:
    @pytest.mark.parametrize(
        "data", [(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)), {}, [], TensorDataset(torch.zeros(0, 4))]
    )
    def test_empty(self, data: Any) -> None:
        with pytest.raises(DataError, match=r"no examples|no batches"):
            sc.score(perceptron(), data)

    def test_a_loader_that_shuffles(self) -> None:
        loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True)
        with pytest.raises(NondeterministicError, match="shuffle=False"):
            sc.score(perceptron(), loader)

    def test_data_that_augments(self) -> None:
        with pytest.raises(NondeterministicError, match="without random augmentation"):
            sc.score(perceptron(), Augmenting())

    def test_an_iterator(self) -> None:
        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            yield X, Y

        with pytest.raises(DataError, match="only once"):
            sc.score(perceptron(), batches())

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_input_that_is_not_finite(self, value: float) -> None:
        x = X.clone()
        x[7, 2] = value
        with pytest.raises(NonFiniteError, match="example 7 of the data"):
            sc.score(perceptron(), (x, Y))

    def test_targets_that_are_not_finite(self) -> None:
        with pytest.raises(NonFiniteError):
            sc.score(perceptron(), (X, torch.full((20, 3), float("nan"))), loss="sse")

    @pytest.mark.parametrize("label", [3, -1, 100])
    def test_labels_out_of_range(self, label: int) -> None:
        y = Y.clone()
        y[3] = label
        with pytest.raises(DataError, match="expected 0 to 2"):
            sc.score(perceptron(), (X, y))

    @pytest.mark.parametrize("loss", ["sse", "mse", "bce", "cross_entropy"])
    @pytest.mark.parametrize("shape", [(20, 1), (20, 2), (20, 3, 1), (1, 3), (20, 20)])
    def test_shapes_are_not_broadcast(self, loss: str, shape: tuple[int, ...]) -> None:
        with pytest.raises(DataError):
            sc.score(perceptron(), (X, torch.rand(shape)), loss=loss)

    def test_labels_in_a_column(self) -> None:
        with pytest.raises(DataError, match=r"class indices"):
            sc.score(perceptron(), (X, Y[:, None]))

    def test_one_value_for_one_output(self) -> None:
        model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)).eval()
        with pytest.raises(DataError, match="nothing is broadcast"):
            sc.score(model, (X, torch.rand(20)), loss="sse")

    def test_different_numbers_of_examples(self) -> None:
        with pytest.raises(DataError, match="first dimensions differ"):
            sc.score(perceptron(), (X, Y[:5]))

    def test_batches_that_do_not_agree(self) -> None:
        with pytest.raises(DataError, match="batch 1 holds"):
            sc.score(perceptron(), [(X, Y), (X[:, :3], Y)])

    def test_a_list_of_single_examples(self) -> None:
        with pytest.raises(DataError, match=r"batch 0 holds a single number.*list of single examples as a Dataset"):
            sc.score(perceptron(), list(zip(X, Y, strict=True)))

    def test_nested_lists(self) -> None:
        with pytest.raises(DataError, match="expected tensors or arrays"):
            sc.score(perceptron(), (X.tolist(), Y.tolist()))

    def test_a_validation_set_of_another_shape(self) -> None:
        with pytest.raises(DataError, match=r"with parameters of torch.float32, can't run on inputs of \(20, 2\)"):
            sc.prune(perceptron(), (X, Y), validation=(X[:, :2], Y), progress=False)

    def test_a_validation_set_with_other_labels(self) -> None:
        with pytest.raises(DataError, match="expected 0 to 2"):
            sc.prune(perceptron(), (X, Y), validation=(X, Y + 3), progress=False)

    def test_keys_that_the_network_does_not_take(self) -> None:
        with pytest.raises(DataError, match="none of the keys pixels, labels is an argument"):
            sc.score(perceptron(), {"pixels": X, "labels": Y})

    def test_no_targets(self) -> None:
        with pytest.raises(DataError, match="needs targets"):
            sc.score(perceptron(), X)

    def test_metrics_without_targets(self) -> None:
        with pytest.raises(DataError, match=r"accuracy.*needs targets"):
            sc.prune(perceptron(), X, loss="self", metrics=("accuracy",), progress=False)

    @pytest.mark.parametrize("data", [None, 7, "mnist", object()])
    def test_no_data_at_all(self, data: Any) -> None:
        with pytest.raises(DataError, match="expected"):
            sc.score(perceptron(), data)

    @pytest.mark.parametrize("x", [X.numpy().astype(np.float64), (X * 9).long(), X[:, :3], X[0]])
    def test_inputs_that_the_network_cannot_take(self, x: Any) -> None:
        with pytest.raises(DataError, match=r"can't run on inputs of|first dimensions differ|class indices"):
            sc.score(perceptron(), (x, Y[: len(x)]))


class TestLoss:
    def test_that_is_not_finite(self) -> None:
        with pytest.raises(
            NonFiniteError, match=r"the loss of example \d+ is NaN or infinite of the untouched network"
        ):
            sc.score(perceptron(), (X, Y), loss=lambda output, batch: output[:, 0] / 0.0)

    @pytest.mark.parametrize("engine", ["reference", "exact"])
    def test_that_breaks_only_when_a_unit_is_off(self, engine: str) -> None:
        model = nn.Sequential(nn.Linear(4, 2), nn.Softplus(), nn.Linear(2, 1)).eval()
        with torch.no_grad():
            model[2].weight.copy_(torch.tensor([[1.0, -1e-3]]))
            model[2].bias.zero_()
        with pytest.raises(NonFiniteError, match="it can't be compared"):
            sc.score(model, (X, Y), loss=lambda output, batch: output[:, 0].log(), engine=engine)

    def test_that_answers_with_one_number(self) -> None:
        with pytest.raises(DataError, match="one loss for each"):
            sc.score(perceptron(), (X, Y), loss=lambda output, batch: functional.cross_entropy(output, batch[1]))

    @pytest.mark.parametrize("loss", [3, None, nn.CrossEntropyLoss(), nn.MSELoss(reduction="none")], ids=repr)
    def test_that_is_none_of_an_example(self, loss: Any) -> None:
        """torch's losses look at outputs and targets of a batch, not at (output, batch)."""
        with pytest.raises(OptionError, match=r"expected a name, such as 'cross_entropy', or a function"):
            sc.score(perceptron(), (X, Y), loss=loss)


class TestNames:
    @pytest.mark.parametrize(
        ("option", "wrong", "right"),
        [
            ("criterion", "taylor_2", "taylor2"),
            ("engine", "exct", "exact"),
            ("loss", "crossentropy", "cross_entropy"),
            ("metrics", ("acuracy",), "accuracy"),
        ],
    )
    def test_get_the_nearest(self, option: str, wrong: Any, right: str) -> None:
        with pytest.raises(UnknownNameError, match=f"Did you mean '{right}'"):
            sc.prune(perceptron(), (X, Y), progress=False, **{option: wrong})

    def test_of_stops(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'fraction'"):
            sc.stop.parse("fracton(0.5)")

    def test_of_modules(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'pruned'"):
            _ = sc.pruned


class TestOptions:
    def test_an_engine_for_another_criterion(self) -> None:
        with pytest.raises(OptionError, match="criterion 'taylor1' has no engine"):
            sc.score(perceptron(), (X, Y), criterion="taylor1", engine="exact")

    @pytest.mark.parametrize("tile", [0, -3, 1.5, True])
    def test_tiles_that_are_none(self, tile: Any) -> None:
        with pytest.raises(OptionError, match="1 or more"):
            sc.score(perceptron(), (X, Y), tile=tile)

    def test_another_meaning_of_off(self) -> None:
        with pytest.raises(OptionError, match="'zero' or 'mean'"):
            sc.score(perceptron(), (X, Y), off="median")  # pyright: ignore[reportArgumentType]

    @pytest.mark.parametrize("every", [0, -1, 1.5])
    def test_ranking_again_every_nothing(self, every: Any) -> None:
        with pytest.raises(OptionError, match="rerank_every"):
            sc.prune(perceptron(), (X, Y), rerank_every=every, progress=False)

    @pytest.mark.parametrize("stop", ["fraction(0.5)", 3, sc.stop.fraction])
    def test_stops_that_are_none(self, stop: Any) -> None:
        with pytest.raises(OptionError, match=r"is no stop; expected sc\.stop\.fraction"):
            sc.prune(perceptron(), (X, Y), stop=stop, progress=False)

    def test_one_metric(self) -> None:
        with pytest.raises(OptionError, match=r"metrics='accuracy' is one name.*: metrics=\('accuracy',\)"):
            sc.prune(perceptron(), (X, Y), metrics="accuracy", progress=False)

    @pytest.mark.parametrize("fraction", [0.0, 1.5, float("nan")])
    def test_fractions_that_are_none(self, fraction: float) -> None:
        with pytest.raises(OptionError):
            sc.stop.fraction(fraction)

    def test_gates_of_another_shape(self) -> None:
        loss = sc.GatedLoss(perceptron(), (X, Y))
        for gates in (torch.ones(5), torch.ones(2, 7), torch.ones(1, 1, 6), [1.0] * 6):
            with pytest.raises(UnitError, match="expected a tensor"):
                loss(gates)  # pyright: ignore[reportArgumentType]
        with pytest.raises(NonFiniteError, match="gate"):
            loss(torch.full((6,), float("nan")))

    def test_units_that_do_not_exist(self) -> None:
        for unit in ("0:6", "1:0", 6, -1, "nonsense"):
            with pytest.raises(UnitError):
                sc.cut(perceptron(), [unit], X)
        with pytest.raises(UnitError, match="more than once: 0:1"):
            sc.cut(perceptron(), ["0:1", 1], X)
        with pytest.raises(sc.errors.RefusedUnitError, match="output of the network"):
            sc.cut(perceptron(), ["2:0"], X)


def test_one_class_and_one_example_are_no_mistake() -> None:
    assert len(sc.score(perceptron(), (X[:1], Y[:1])).values) == 6
    assert len(sc.score(perceptron(), (X, torch.zeros(20, dtype=torch.int64))).values) == 6
