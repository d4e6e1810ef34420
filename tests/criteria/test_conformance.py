"""What every criterion must do. Registering one in CRITERIA enrols it here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import BY_NAME, Case, gated, regated
from torch import Tensor, nn

import secateur as sc
from secateur import stop
from secateur.criteria import CRITERIA, Criterion, resolve
from secateur.errors import CriterionError, OptionError, UnknownNameError
from secateur.gated import GatedLoss

NETWORKS = [BY_NAME[name] for name in ("sigmoid", "conv", "residual")]
ALIVE = {
    "sigmoid": torch.tensor([0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12]),
    "conv": torch.tensor([0, 2, 3, 4, 5, 7, 8, 9, 12, 13]),
    "residual": torch.tensor([0, 1, 2, 5, 6, 8, 10, 12, 13, 15, 16, 19]),
}


def scores_of(criterion: Criterion, case: Case, loss: GatedLoss | None = None) -> Tensor:
    """The scores in a network of which some units are off."""
    return criterion(gated(case) if loss is None else loss, ALIVE[case.name])


def close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= 1e-10 * expected.abs().max())


def gives_a_finite_score_for_each_alive_unit(criterion: Criterion, case: Case) -> None:
    scores = scores_of(criterion, case)
    assert scores.shape == ALIVE[case.name].shape
    assert scores.dtype == torch.float64
    assert scores.isfinite().all()
    assert not scores.requires_grad


def is_deterministic(criterion: Criterion, case: Case) -> None:
    first = scores_of(criterion, case)
    torch.manual_seed(99)
    assert torch.equal(scores_of(criterion, case), first)


def tells_units_apart(criterion: Criterion, case: Case) -> None:
    assert len(scores_of(criterion, case).unique()) > 1


def does_not_depend_on_the_tile(criterion: Criterion, case: Case) -> None:
    expected = scores_of(criterion, case)
    for tile in (1, 7, 512):
        other = copy.copy(gated(case))
        other.tile = tile
        assert close(scores_of(criterion, case, other), expected)


def does_not_depend_on_the_order_of_the_examples(criterion: Criterion, case: Case) -> None:
    order = torch.randperm(case.examples)
    shuffled = gated(case).on(tuple(field[order] for field in case.data()))
    assert close(scores_of(criterion, case, shuffled), scores_of(criterion, case))


LAYERS = {
    "sigmoid": ("fc2", 6, "fc3", 1),
    "conv": ("conv2", 4, "fc1", 4),
    "residual": ("block2.conv1", 8, "block2.conv2", 1),
}
"""A layer, the position of its first unit, its reader, and the reader's columns for each unit."""


def goes_with_the_units(criterion: Criterion, case: Case) -> None:
    """Permute a layer's units, in makers and reader: the network is the same, and so are its scores, permuted."""
    layer, first, reader, columns = LAYERS[case.name]
    model, everything = case.model(), torch.arange(len(case.names()))
    order = torch.randperm(len(model.get_submodule(layer).weight))
    norm = {"conv2": "bn2", "block2.conv1": "block2.bn1"}.get(layer)
    with torch.no_grad():
        for module in [model.get_submodule(path) for path in (layer, norm) if path]:
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.dim():
                    tensor.copy_(tensor[order].clone())
        weight = model.get_submodule(reader).weight
        weight.copy_(weight.unflatten(1, (-1, columns))[:, order].flatten(1, 2).clone())
    permuted = regated(case, model)
    assert abs(float(permuted()) - float(gated(case)())) <= 1e-12 * float(gated(case)())
    found, expected = criterion(permuted, everything), criterion(gated(case), everything)
    positions = everything.clone()
    positions[first : first + len(order)] = first + order
    assert not torch.equal(positions, everything)
    by_name = hasattr(criterion, "seeded")  # draws for names, which stay where they are
    assert close(found, expected if by_name else expected[positions])


def leaves_everything_as_it_was(criterion: Criterion, case: Case) -> None:
    """No hook, no changed weight or flag or mode, no gradient, no random number drawn, no global setting."""
    loss = regated(case, case.model())
    model, alive = loss.model, ALIVE[case.name].clone()
    next(iter(model.parameters())).requires_grad_(False)
    for module in model.modules():
        module.register_forward_hook(lambda *_: None)  # the user's own stay, too

    def state() -> dict[str, Any]:
        return {
            "weights": {key: (id(value), value.clone()) for key, value in model.state_dict(keep_vars=True).items()},
            "gradients": [(p.requires_grad, p.grad is None) for p in model.parameters()],
            "training": [module.training for module in model.modules()],
            "hooks": [
                [len(getattr(module, name)) for name in vars(module) if name.endswith("_hooks")]
                for module in model.modules()
            ],
            "attributes": [sorted(vars(module)) for module in model.modules()],
            "random": torch.get_rng_state(),
            "settings": (
                torch.get_float32_matmul_precision(),
                torch.are_deterministic_algorithms_enabled(),
                torch.get_num_threads(),
                torch.get_default_dtype(),
                torch.is_grad_enabled(),
            ),
            "alive": alive.clone(),
            "examples": [field.clone() for field in loss.examples.fields],
        }

    before = state()
    criterion(loss, alive)
    after = state()
    for key, value in before.items():
        if key == "weights":
            assert value.keys() == after[key].keys()
            for name, (identity, tensor) in value.items():
                assert after[key][name][0] == identity, name
                assert torch.equal(after[key][name][1], tensor), name
        elif key in ("random", "alive"):
            assert torch.equal(value, after[key]), key
        elif key == "examples":
            assert all(map(torch.equal, value, after[key]))
        else:
            assert value == after[key], key


def can_be_asked_under_no_grad(criterion: Criterion, case: Case) -> None:
    expected = scores_of(criterion, case)
    with torch.no_grad():
        assert torch.equal(scores_of(criterion, case), expected)


CHECKS = [
    gives_a_finite_score_for_each_alive_unit,
    is_deterministic,
    tells_units_apart,
    does_not_depend_on_the_tile,
    does_not_depend_on_the_order_of_the_examples,
    goes_with_the_units,
    leaves_everything_as_it_was,
    can_be_asked_under_no_grad,
]
Check = Callable[[Criterion, Case], None]


@pytest.mark.parametrize("case", NETWORKS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CRITERIA)
def test_every_registered_criterion(name: str, check: Check, case: Case) -> None:
    """All hold for a perceptron with squared error; elsewhere a criterion may say that it does not apply, and what
    does."""
    try:
        check(CRITERIA[name], case)
    except CriterionError as error:
        told = str(error)
        assert case.name != "sigmoid"
        assert "Use taylor2" in told or "or taylor2" in told


# ------------------------------------------------------------------------------------------------ the registry


def outgoing(loss: GatedLoss, alive: Tensor) -> Tensor:
    """A criterion as a newcomer would write one: the L2 norm of the weights that read the unit."""
    squares = torch.zeros(len(loss.units) + 1, dtype=torch.float64)
    for reading in loss.units.readings:
        weight = loss.network.graph.weight(loss.network.graph.names[reading.node.args[1]])
        squares.index_add_(0, reading.owner % len(squares), weight.double().movedim(1, 0).flatten(1).square().sum(1))
    return squares[:-1].sqrt()[alive]


@pytest.mark.parametrize("case", NETWORKS, ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_registering_a_criterion_enrols_it(check: Check, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """One function and one line: it has a name, and holds to all of the above."""
    monkeypatch.setitem(CRITERIA, "outgoing", outgoing)
    check(CRITERIA["outgoing"], case)


def test_prune_and_score_accept_a_new_criterion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CRITERIA, "outgoing", outgoing)
    case = BY_NAME["sigmoid"]
    model = case.model()
    arguments = {"loss": case.loss, "criterion": "outgoing"}
    scores = sc.score(model, case.data(), **arguments)
    expected = torch.cat((model.fc2.weight.norm(dim=0), model.fc3.weight.norm(dim=0))).detach()
    assert torch.allclose(scores.values, expected, rtol=1e-12)
    result = sc.prune(model, case.data(), **arguments, rerank_every=None, stop=stop.units(4), progress=False)
    order = [case.names()[at] for at in expected.argsort().tolist()]
    assert [unit.name for unit in result.removed] == order[:4]
    assert sum(len(layer.weight) for layer in result.model if isinstance(layer, nn.Linear)) == 6 + 7 + 3 - 4
    by_function = sc.prune(model, case.data(), loss="sse", criterion=outgoing, rerank_every=None, stop=stop.units(4))
    assert by_function.removed == result.removed


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (lambda loss, alive: torch.full((len(alive),), torch.nan).double(), gives_a_finite_score_for_each_alive_unit),
        (lambda loss, alive: torch.zeros(len(loss.units)).double(), gives_a_finite_score_for_each_alive_unit),
        (lambda loss, alive: torch.zeros(len(alive)), gives_a_finite_score_for_each_alive_unit),
        (lambda loss, alive: torch.rand(len(alive)).double(), is_deterministic),
        (lambda loss, alive: torch.zeros(len(alive)).double(), tells_units_apart),
        (lambda loss, alive: alive.double() * loss.tile, does_not_depend_on_the_tile),
        (lambda loss, alive: alive * loss.per_example()[0], does_not_depend_on_the_order_of_the_examples),
        (lambda loss, alive: alive.double(), goes_with_the_units),
        (lambda loss, alive: torch.rand(len(alive)).double(), leaves_everything_as_it_was),
        (lambda loss, alive: loss.model.train() and alive.double(), leaves_everything_as_it_was),
        (lambda loss, alive: loss.model.requires_grad_(True) and alive.double(), leaves_everything_as_it_was),
        (lambda loss, alive: loss.model.fc1.weight.data.mul_(2).sum() * alive.double(), leaves_everything_as_it_was),
        (lambda loss, alive: (loss.model.register_forward_hook(print), alive.double())[1], leaves_everything_as_it_was),
        (lambda loss, alive: loss().backward(), can_be_asked_under_no_grad),
    ],
)
def test_each_check_can_fail(fault: Any, check: Check) -> None:
    with pytest.raises((AssertionError, RuntimeError, AttributeError)):
        check(fault, BY_NAME["sigmoid"])


def test_resolve() -> None:
    assert resolve("taylor1") is CRITERIA["taylor1"]
    assert resolve(outgoing) is outgoing
    assert resolve("oracle", engine="reference").engine == "reference"
    assert resolve("random", seed=3).seed == 3
    with pytest.raises(UnknownNameError, match=r"no criterion is called 'taylor3'\. Did you mean 'taylor[12]'"):
        resolve("taylor3")
    with pytest.raises(UnknownNameError, match=r"no engine is called 'exakt'\. Did you mean 'exact'"):
        resolve("oracle", engine="exakt")
    with pytest.raises(OptionError, match="'magnitude' has no engine"):
        resolve("magnitude", engine="exact")
