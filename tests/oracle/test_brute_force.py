"""Both engines against an independent brute force: a copy of the network, its readers' columns zeroed, run in full."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from typing import Any

import brute
import pytest
import torch
from cases import BY_NAME, CASES, ZOO, Case, gated, measurable, switched_off
from torch import Tensor, nn

from secateur import oracle
from secateur.criteria import Oracle
from secateur.errors import NoUnitsError, OptionError, UnknownNameError
from secateur.gated import GatedLoss
from secateur.gated.memory import Memory
from secateur.loop import remove_units
from secateur.oracle import tail
from secateur.oracle.dense import Dense
from secateur.stopping import Stop, never, units
from secateur.trace import Trace

ENGINES = pytest.mark.parametrize("engine", oracle.ENGINES)
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
SMALL_AND_DEEP = ("sigmoid", "relu", "gelu", "conv", "residual")


def some(loss: GatedLoss, seed: int, most: int = 40) -> tuple[Tensor, Tensor]:
    """Random gates with about a third of the units off, and up to `most` of those that are on."""
    draw = torch.Generator().manual_seed(seed)
    on = torch.rand(len(loss.units), generator=draw) > 0.33
    on[int(torch.randint(len(loss.units), (), generator=draw))] = True
    alive = on.nonzero().flatten()
    chosen = alive[torch.randperm(len(alive), generator=draw)[:most].sort().values]
    return on.double(), chosen


def assert_agreement(case: Case, dtype: torch.dtype, off: str, loss: GatedLoss, gates: Tensor, units: Tensor) -> None:
    model = case.model(dtype)
    mean = brute.means(case, model) if off == "mean" else None
    gone = [loss.units[at].name for at in (gates == 0).nonzero().flatten().tolist()]
    on = brute.losses(case, brute.off(case, model, gone, mean))
    assert brute.agree(float(loss(gates)) - float(on.sum()), on, on, dtype)
    scores = {name: engine(loss, gates, units) for name, engine in oracle.ENGINES.items()}
    for at, unit in enumerate(units.tolist()):
        without = brute.losses(case, brute.off(case, model, [*gone, loss.units[unit].name], mean))
        for name, found in scores.items():
            assert found.dtype == torch.float64
            assert brute.agree(float(found[at]), on, without, dtype), (name, loss.units[unit].name)


COMBINATIONS = [
    *((case, dtype, "zero") for case in CASES for dtype in (torch.float64, torch.float32)),
    *((case, torch.float64, "mean") for case in CASES if case.name != "functional"),  # it has no layers to hook
    *((BY_NAME[name], torch.float32, "mean") for name in SMALL_AND_DEEP),
]


@pytest.mark.parametrize(("case", "dtype", "off"), COMBINATIONS, ids=str)
def test_both_engines_agree_with_brute_force(case: Case, dtype: torch.dtype, off: str) -> None:
    """At g = 1; and with a third of the units off already. All units in float64, some in float32."""
    loss = measurable(case, off, dtype)
    everything = torch.arange(len(loss.units))
    chosen = everything if dtype == torch.float64 or case.name in SMALL_AND_DEEP else everything[::3]
    assert_agreement(case, dtype, off, loss, loss.gates(), chosen)
    assert_agreement(case, dtype, off, loss, *some(loss, 1, most=5))


@DTYPES
@pytest.mark.parametrize("case", ZOO, ids=str)
def test_networks_of_the_zoo(case: Case, dtype: torch.dtype) -> None:
    loss = gated(case, dtype)
    gates, units = some(loss, 2, most=12)
    assert_agreement(case, dtype, "zero", loss, loss.gates(), units)
    assert_agreement(case, dtype, "zero", loss, gates, units)


def test_brute_force_tells_wrong_scores() -> None:
    """The comparison can fail: an engine that forgets a reader is found out."""
    case = BY_NAME["residual"]
    loss, model = gated(case), case.model()
    on = brute.losses(case, model)
    without = brute.losses(case, brute.off(case, model, ["stem:1"]))
    forgetful = brute.losses(case, switched_off(model, [{"block1.conv1.weight": [1], "block2.conv1.weight": [1]}]))
    score = float(oracle.exact(loss, loss.gates(), torch.tensor([1])))
    assert brute.agree(score, on, without, torch.float64)
    assert not brute.agree(float((forgetful - on).sum()), on, without, torch.float64)
    assert not brute.agree(score, on, without * (1 + 1e-11), torch.float64)


# ------------------------------------------------------------------------------------------------- off="mean"


def free_of_padding_and_sharing(case: Case) -> list[str]:
    """The units whose mean can move into the bias of each of their readers: none pads with zeros or is called twice."""
    model, calls = case.model(), {}
    for path, module in model.named_modules():
        module.register_forward_hook(lambda *_, path=path: calls.update({path: calls.get(path, 0) + 1}))
    case.answer(model, case.x())

    def takes_means(weight: str) -> bool:
        path = weight.rpartition(".")[0]
        if not path:  # a parameter of the network itself, read by functional.linear
            return True
        padding = getattr(model.get_submodule(path), "padding", (0,))
        return calls[path] == 1 and not any(padding)

    return [unit for unit in case.names() if all(map(takes_means, case.columns(unit)))]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_off_mean_has_the_units_whose_mean_can_move_into_a_bias(case: Case) -> None:
    expected = free_of_padding_and_sharing(case)
    if expected:
        units = gated(case, off="mean").units
        assert [unit.name for unit in units] == expected
        lost = {unit.rpartition(":")[0] for unit in case.names()} - {unit.layer for unit in units}
        reasons = {refusal.layer: refusal.reason for refusal in units.refused}
        assert all("mean can't move" in reasons[layer] for layer in lost)
    else:
        with pytest.raises(NoUnitsError, match="mean can't move into a bias that is used more than once"):
            gated(case, off="mean")


def test_off_mean_by_hand() -> None:
    """y = h0 + h1 of h = x, on x = 1 and 3: without unit 0 the answers are 2 + 1 and 2 + 3."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)).double().eval()
    for layer in model:
        nn.init.ones_(layer.weight)
    data = (torch.tensor([[1.0], [3.0]]).double(), torch.zeros(2, 1).double())
    loss = GatedLoss(model, data, "sse", off="mean")
    assert loss.outputs(torch.tensor([0.0, 1.0])).flatten().tolist() == [3.0, 5.0]
    assert float(loss(torch.zeros(2))) == 2 * 4**2 / 2
    assert oracle.exact(loss, loss.gates(), torch.arange(2)).tolist() == [(9 + 25 - 4 - 36) / 2] * 2


# -------------------------------------------------------------------------------------------- greedy sequences


def greedy(loss: GatedLoss, engine: str, stop: Stop | None = None) -> Trace:
    return remove_units(loss, Oracle(engine), stop or never(), min_units_per_site=0)


@pytest.mark.parametrize(
    ("case", "off"),
    [*((case, "zero") for case in CASES), *((BY_NAME[name], "mean") for name in SMALL_AND_DEEP)],
    ids=str,
)
def test_greedy_sequences_are_the_same_in_float64(case: Case, off: str) -> None:
    """To the last unit for the networks that the issue names, five removals for the others."""
    loss = gated(case, off=off)
    stop = never() if case.name in SMALL_AND_DEEP else units(min(5, len(loss.units)))
    exact, reference = greedy(loss, "exact", stop), greedy(loss, "reference", stop)
    assert exact.removed == reference.removed
    assert len(exact.removed) >= min(5, len(loss.units))


@pytest.mark.parametrize("case", [BY_NAME[name] for name in SMALL_AND_DEEP], ids=str)
def test_each_choice_in_float32_agrees_with_the_reference(case: Case) -> None:
    """docs/design.md, decision 3: the score of the chosen unit agrees with the reference's minimum."""
    loss = gated(case, torch.float32)
    gates = loss.gates()
    for step in greedy(loss, "exact").steps[1:]:
        alive = (gates > 0).nonzero().flatten()
        scores = oracle.reference(loss, gates, alive)
        chosen = (alive == loss.units.position(step.unit)).nonzero().item()
        on = float(loss(gates))
        slack = loss.tolerance * (abs(on) + abs(on + float(scores.min())))
        assert float(scores[chosen]) <= float(scores.min()) + 2 * slack  # the two engines may each be off by one slack
        gates[alive[chosen]] = 0.0


@pytest.mark.parametrize("name", SMALL_AND_DEEP)
def test_greedy_sequence_is_that_of_brute_force(name: str) -> None:
    case = BY_NAME[name]
    model, gone, left = case.model(), [], case.names()
    while left and len(gone) < 8:
        on = float(brute.losses(case, brute.off(case, model, gone)).sum())
        scores = [float(brute.losses(case, brute.off(case, model, [*gone, unit])).sum()) - on for unit in left]
        gone.append(left.pop(scores.index(min(scores))))
    assert list(greedy(gated(case), "exact").removed[: len(gone)]) == gone


# ------------------------------------------------------------------------------------ tiles, chunks, kinds of data


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores_do_not_depend_on_the_tile(case: Case) -> None:
    loss = gated(case)
    gates, units = some(loss, 3, most=5)
    for engine in oracle.ENGINES.values():
        expected = engine(loss, gates, units)
        slack = 2e-12 * float(loss.per_example(gates).abs().sum() + expected.abs().max())
        for tile in (1, 7):
            other = copy.copy(loss)
            other.tile = tile
            assert (engine(other, gates, units) - expected).abs().max() <= slack


@pytest.mark.parametrize("tile", [1, 7, 10, 512])
@pytest.mark.parametrize("off", ["zero", "mean"])
def test_the_tile_is_an_option(tile: int, off: str) -> None:
    case = BY_NAME["gelu"]
    loss = GatedLoss(case.model(), case.data(), case.loss, off=off, tile=tile)
    assert [stop - start for start, stop in loss.spans()] == {1: [1] * 10, 7: [7, 3], 10: [10], 512: [10]}[tile]
    expected = oracle.reference(gated(case, off=off), loss.gates(), torch.arange(13))
    for engine in oracle.ENGINES.values():
        assert torch.allclose(engine(loss, loss.gates(), torch.arange(13)), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores_do_not_depend_on_the_size_of_chunks(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """One candidate at a time, and a few at a time."""
    loss, sizes = gated(case), []
    gates, units = some(loss, 4)
    expected = oracle.exact(loss, gates, units)
    slack = 2e-12 * float(loss.per_example(gates).abs().sum() + expected.abs().max())

    def chunks_of(*arguments: Any) -> Iterator[tail.Chunk]:
        found = list(tail.chunks_of(*arguments))
        sizes.append(max(len(chunk.candidates) for chunk in found))
        yield from found

    monkeypatch.setattr(Dense, "of", lambda *_: None)  # the compiled loop needs no chunks
    monkeypatch.setattr(sys.modules["secateur.oracle.changes"], "chunks_of", chunks_of)
    for working_set in (1, 200):
        monkeypatch.setattr(loss, "memory", Memory(working_set))
        assert (oracle.exact(loss, gates, units) - expected).abs().max() <= slack
    assert sizes[0] == 1


@ENGINES
def test_a_users_own_loss(engine: str) -> None:
    """It sees the user's own batch, whatever the named losses make of it; and it need not be mappable by torch.func."""
    case = BY_NAME["gelu"]

    def cross_entropy(output: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
        x, y = batch
        assert x.shape == (len(output), 5)
        assert float(output.sum()) == float(output.sum())  # .item() can't be mapped
        return nn.functional.cross_entropy(output, y, reduction="none")

    loss = GatedLoss(case.model(), case.data(), cross_entropy)
    named = gated(case)
    units = torch.arange(13)
    found = oracle.resolve(engine)(loss, loss.gates(), units)
    assert torch.allclose(found, oracle.reference(named, loss.gates(), units), rtol=0, atol=1e-12)


class WithExtras(nn.Module):
    """Answers with a tuple: the logits, nothing, and a number."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, None, int]:
        return self.model(x), None, 3


@ENGINES
@pytest.mark.parametrize("own", [False, True], ids=["named", "own"])
def test_answers_in_a_tuple(engine: str, own: bool) -> None:
    case = BY_NAME["gelu"]

    def first(output: tuple[Tensor, None, int], batch: tuple[Tensor, ...]) -> Tensor:
        assert output[1:] == (None, 3)
        return nn.functional.cross_entropy(output[0], batch[1], reduction="none")

    loss = GatedLoss(WithExtras(case.model()).eval(), case.data(), first if own else "cross_entropy")
    found = oracle.resolve(engine)(loss, loss.gates(), torch.arange(13))
    expected = oracle.reference(gated(case), loss.gates(), torch.arange(13))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@ENGINES
@DTYPES
def test_one_example(engine: str, dtype: torch.dtype) -> None:
    case = BY_NAME["conv"]
    model = case.model(dtype)
    loss = GatedLoss(model, case.data(dtype, examples=1), case.loss)
    on = brute.losses(case, model, examples=1)
    scores = oracle.resolve(engine)(loss, loss.gates(), torch.arange(len(loss.units)))
    for at, unit in enumerate(case.names()):
        without = brute.losses(case, brute.off(case, model, [unit]), examples=1)
        assert brute.agree(float(scores[at]), on, without, dtype)


@ENGINES
@pytest.mark.parametrize("name", ["sse", "mse", "bce"])
def test_one_output(engine: str, name: str) -> None:
    """A single class: values, or a single logit."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double().eval()
    x, y = torch.randn(6, 3).double(), torch.rand(6, 1).double()
    loss = GatedLoss(model, (x, y), name)

    def error(net: nn.Module) -> Tensor:
        output = net(x).detach()
        if name == "bce":
            return nn.functional.binary_cross_entropy_with_logits(output, y, reduction="none").sum(1)
        return (output - y).square().sum(1) / (2 if name == "sse" else 1)

    scores = oracle.resolve(engine)(loss, loss.gates(), torch.arange(4))
    for unit in range(4):
        without = error(switched_off(model, [{"2.weight": [unit]}]))
        assert brute.agree(float(scores[unit]), error(model), without, torch.float64)


@ENGINES
def test_the_loss_self(engine: str) -> None:
    """The distance to the network's own answers, which needs no labels: 0 for the network as it is."""
    case = BY_NAME["relu"]
    model, x = case.model(), case.inputs()
    loss = GatedLoss(model, x[0], "self")
    assert float(loss()) == 0.0
    scores = oracle.resolve(engine)(loss, loss.gates(), torch.arange(13))
    for at, unit in enumerate(case.names()):
        without = brute.off(case, model, [unit])
        expected = (case.answer(without, x) - case.answer(model, x)).square().sum() / 2
        assert abs(float(scores[at]) - float(expected)) <= 1e-12 * float(expected)


@ENGINES
def test_no_candidates(engine: str) -> None:
    loss = gated(BY_NAME["relu"])
    found = oracle.resolve(engine)(loss, loss.gates(), torch.arange(0))
    assert (found.shape, found.dtype) == ((0,), torch.float64)


@ENGINES
def test_candidates_in_any_order(engine: str) -> None:
    loss = gated(BY_NAME["dense"])
    units = torch.tensor([7, 0, 5, 2])
    together = oracle.resolve(engine)(loss, loss.gates(), units)
    alone = torch.cat([oracle.resolve(engine)(loss, loss.gates(), units[at : at + 1]) for at in range(4)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-12)


def test_engines_have_names() -> None:
    assert list(oracle.ENGINES) == ["exact", "reference", "racing", "lazy"]
    assert oracle.resolve("exact") is oracle.exact
    assert oracle.resolve(oracle.reference) is oracle.reference


def test_options_behind_an_engines_name() -> None:
    assert oracle.resolve("lazy(fresh=3, audit=0.5)", seed=7) == oracle.Lazy(fresh=3, audit=0.5, seed=7)
    assert oracle.resolve("lazy(seed=1)", seed=7) == oracle.Lazy(seed=1)
    for text, message in (
        ("lazy(fresh", "can't be read"),
        ("lazy(3)", "can't be read"),
        ("lazy(fresh=print())", "can't be read"),
        ("lazy(depth=3)", "has no option 'depth'; it has fresh, audit"),
        ("exact(fresh=3)", "has no option 'fresh'; it has none"),
        ("lazy(fresh=0)", "expected how many units"),
    ):
        with pytest.raises(OptionError, match=message):
            oracle.resolve(text)
    with pytest.raises(UnknownNameError, match="lasy"):
        oracle.resolve("lasy(fresh=3)")


def test_weights_of_ones() -> None:
    """2-3-1 of ones on x = (1, 1): the answer is 6; without a neuron it is 4, without two 2, without all 0."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False)).double().eval()
    for layer in model:
        nn.init.ones_(layer.weight)
    loss = GatedLoss(model, (torch.ones(1, 2).double(), torch.full((1, 1), 1.0).double()), "sse")
    for engine in oracle.ENGINES.values():
        assert engine(loss, loss.gates(), torch.arange(3)).tolist() == [(3**2 - 5**2) / 2] * 3
        gates = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
        assert engine(loss, gates, torch.tensor([0, 2])).tolist() == [(1 - 3**2) / 2] * 2
        gates = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        assert engine(loss, gates, torch.tensor([2])).tolist() == [0.0]  # |0 - 1| = |2 - 1|
