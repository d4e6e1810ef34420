"""What holds for every network: gate 0 == cut == reloaded, E(1) == the plain network, every engine gives one answer."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, event, given, note, settings
from programs import Drawn, programs
from torch import Tensor, nn

import secateur as sc
from secateur.errors import NoUnitsError, RefusedUnitError, UnitError
from secateur.gated import GatedLoss
from secateur.io import portable, save_bundle
from secateur.io.encode import encode_graph
from secateur.oracle import exact, reference
from secateur.surgery import CutWarning, cut_graph, cut_module, cut_network, plan_cut
from secateur.units import UnitSet, discover

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def gated(drawn: Drawn, tile: int = 512) -> GatedLoss | None:
    """E(g) of the drawn network; None for one that has no unit, which then says why."""
    note(f"{drawn.model!r}\n    off={drawn.off}")
    try:
        return GatedLoss(drawn.model, (drawn.x, drawn.y), "sse", off=drawn.off, tile=tile)  # pyright: ignore
    except NoUnitsError as error:
        event("no units")
        assert str(error).count("\n") >= 1
        return None


def some(units: UnitSet, picks: int) -> list[int]:
    """Units to remove: those of the picked bits, but never all of a site."""
    gone = {at for at in range(len(units)) if picks >> (at % 40) & 1}
    for site in units.sites:
        if gone.issuperset(site.units):
            gone.discard(site.units[picks % len(site.units)])
    return sorted(gone)


def agree(got: Tensor, expected: Tensor, scale: Tensor) -> None:
    """Equal to 1e-12 of the largest output of the whole or the gated network."""
    assert got.shape == expected.shape
    largest = max(float(scale.abs().max()), float(expected.abs().max()), 1e-300)
    assert float((got - expected).abs().max()) <= 1e-12 * largest


def assert_same_scores(loss: GatedLoss, gates: Tensor, first: Tensor, second: Tensor, alive: Tensor) -> None:
    """Two evaluations of a score agree: docs/design.md, decision 2."""
    on = loss.per_example(gates).abs().sum()
    for at, unit in enumerate(alive.tolist()):
        without = gates.clone()
        without[unit] = 0.0
        allowed = 1e-12 * (on + loss.per_example(without).abs().sum())
        assert abs(first[at] - second[at]) <= allowed, loss.units[unit].name


def check_errors_and_scores(drawn: Drawn) -> None:
    loss = gated(drawn)
    if loss is None:
        return
    with torch.no_grad():
        plain = drawn.model(drawn.x)
    error = ((plain - drawn.y).square().sum() / 2).item()
    assert loss().item() == pytest.approx(error, rel=1e-12)
    agree(loss.outputs(), plain, plain)

    gates = loss.gates()
    gates[some(loss.units, drawn.picks)] = 0.0
    alive = gates.nonzero().flatten()
    expected = reference(loss, gates, alive)
    assert_same_scores(loss, gates, exact(loss, gates, alive), expected, alive)
    for tile in (1, 2):
        other = gated(drawn, tile)
        assert other is not None
        if drawn.off == "zero":  # the means themselves are sums by tiles
            assert_same_scores(loss, gates, exact(other, gates, alive), expected, alive)
        assert other(gates).item() == pytest.approx(loss(gates).item(), rel=1e-12)


def check_cuts(drawn: Drawn) -> None:
    loss = gated(drawn)
    if loss is None:
        return
    network, positions = loss.network, some(loss.units, drawn.picks)
    before = {name: tensor.clone() for name, tensor in drawn.model.state_dict().items()}
    gates = loss.gates()
    gates[positions] = 0.0
    whole, expected = loss.outputs(), loss.outputs(gates)
    plan = plan_cut(network, positions)
    with torch.no_grad():
        graph = cut_graph(network, plan)
        agree(graph(drawn.x), expected, whole)
        text = json.dumps(encode_graph(graph))
        tensors = {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
        again = portable.build(json.loads(text), tensors, [name for name, _ in graph.named_parameters()])
        for x in (drawn.x, drawn.x[:1], drawn.x.repeat(4, *[1] * (drawn.x.dim() - 1))):
            assert torch.equal(again(x), graph(x))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CutWarning)
        small = cut_network(network, positions, drawn.x)
    own = not any(issubclass(warning.category, CutWarning) for warning in caught)
    event("own class" if own else "graph")
    assert own == (type(small) is type(drawn.model))
    with torch.no_grad():
        agree(small(drawn.x), expected, whole)
    assert_sizes_told(small)
    assert sum(p.numel() for p in small.parameters()) == sc_parameters(loss, gates)
    for name, tensor in drawn.model.state_dict().items():
        assert torch.equal(tensor, before[name]), "the network itself was changed"


def sc_parameters(loss: GatedLoss, gates: Tensor) -> int:
    from secateur.costs import Costs

    return Costs(loss.network.graph, loss.units, loss.off)(gates == 0).params


def assert_sizes_told(small: nn.Module) -> None:
    """What a layer says of its sizes is what its tensors have."""
    for layer in small.modules():
        if isinstance(layer, nn.Linear):
            assert (layer.out_features, layer.in_features) == tuple(layer.weight.shape)
        if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
            rows, columns = layer.weight.shape[:2]
            assert (layer.out_channels, layer.in_channels) == (rows, columns * layer.groups)
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert layer.num_features == len(layer.running_mean)


def check_refusals(drawn: Drawn) -> None:
    loss = gated(drawn)
    if loss is None:
        return
    units, graph = loss.units, loss.network.graph
    names = {unit.name for unit in units}
    assert len(names) == len(units)
    for refusal in units.refused:
        assert refusal.reason
        rows = len(graph.weight(f"{refusal.layer}.weight"))
        refused = [f"{refusal.layer}:{index}" for index in range(rows) if f"{refusal.layer}:{index}" not in names]
        assert len(refused) >= refusal.count
        for name in refused:
            with pytest.raises(RefusedUnitError, match="can't be removed exactly"):
                units.position(name)
    for site in units.sites:
        with pytest.raises(UnitError):
            plan_cut(loss.network, list(site.units))
    again = discover(graph, drawn.off)
    assert (again.sites, again.refused, list(again)) == (units.sites, units.refused, list(units))
    for name, dims in units.slices.items():
        assert all(torch.equal(owner, again.slices[name][dim]) for dim, owner in dims.items())


def check_bundle(drawn: Drawn, folder: Path) -> None:
    loss = gated(drawn)
    if loss is None:
        return
    positions = some(loss.units, drawn.picks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CutWarning)
        small = cut_network(loss.network, positions, drawn.x)
    gates = loss.gates()
    gates[positions] = 0.0
    whole, expected = loss.outputs(), loss.outputs(gates)
    save_bundle(folder, loss.network, positions, small)
    loaded: list[Any] = [sc.load(folder), sc.load(folder, trust=True)]
    if type(small) is type(drawn.model):
        import copy

        loaded.append(sc.load(folder, copy.deepcopy(drawn.model)))
    with torch.no_grad():
        for net in loaded:
            agree(net(drawn.x), expected, whole)


@settings(max_examples=60, suppress_health_check=SLOW)
@given(programs())
def test_error_is_that_of_the_network_and_engines_agree(drawn: Drawn) -> None:
    check_errors_and_scores(drawn)


@settings(max_examples=60, suppress_health_check=SLOW)
@given(programs())
def test_gate_0_is_the_cut_is_the_reloaded(drawn: Drawn) -> None:
    check_cuts(drawn)


@settings(max_examples=40, suppress_health_check=SLOW)
@given(programs())
def test_refused_units_are_never_cut(drawn: Drawn) -> None:
    check_refusals(drawn)


@settings(max_examples=15, suppress_health_check=SLOW)
@given(programs())
def test_bundles_answer_as_the_gated_network(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> None:
    check_bundle(drawn, tmp_path_factory.mktemp("bundle") / "net")
