"""What holds for every network: gate 0 == cut == reloaded, E(1) == the plain network, every engine gives one answer."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import Drawn, program
from torch import Tensor, fx, nn

import secateur as sc
from secateur.costs import Costs
from secateur.errors import NoUnitsError, RefusedUnitError, UnitError
from secateur.gated import GatedLoss
from secateur.io import portable, save_bundle
from secateur.io.encode import encode_graph
from secateur.oracle import exact, reference
from secateur.surgery import CutWarning, cut_graph, cut_network, plan_cut
from secateur.units import UnitSet, discover
from secateur.units.graph import operator_name
from secateur.units.rules import RULES

PROGRAMS = st.randoms(use_true_random=False).map(program)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def gated(drawn: Drawn) -> GatedLoss | None:
    """E(g) of the drawn network; None for one that has no unit."""
    try:
        return GatedLoss(drawn.model, (drawn.x, drawn.y), "sse", off=drawn.off)
    except NoUnitsError:
        return None


def writable(graph: fx.GraphModule) -> bool:
    """Whether every operator has a row in the table: others run in a cut graph, but not from a bundle."""
    return all(operator_name(node) in RULES for node in graph.graph.nodes if node.op == "call_function")


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


def check_errors_and_scores(loss: GatedLoss, drawn: Drawn) -> None:
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
        other = copy.copy(loss)
        other.tile = tile
        assert_same_scores(loss, gates, exact(other, gates, alive), expected, alive)
        assert other(gates).item() == pytest.approx(loss(gates).item(), rel=1e-12)


def check_cuts(loss: GatedLoss, drawn: Drawn) -> None:
    network, positions = loss.network, some(loss.units, drawn.picks)
    before = {name: tensor.clone() for name, tensor in drawn.model.state_dict().items()}
    gates = loss.gates()
    gates[positions] = 0.0
    whole, expected = loss.outputs(), loss.outputs(gates)
    plan = plan_cut(network, positions)
    with torch.no_grad():
        graph = cut_graph(network, plan)
        agree(graph(drawn.x), expected, whole)
        if writable(graph):
            text = json.dumps(encode_graph(graph))
            tensors = {**dict(graph.named_parameters()), **dict(graph.named_buffers())}
            again = portable.build(json.loads(text), tensors, [name for name, _ in graph.named_parameters()])
            for x in (drawn.x, drawn.x[:1], torch.cat([drawn.x] * 4)):
                assert torch.equal(again(x), graph(x))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CutWarning)
        small = cut_network(network, positions, drawn.x)
    own = not any(issubclass(warning.category, CutWarning) for warning in caught)
    assert own == (type(small) is type(drawn.model))
    with torch.no_grad():
        agree(small(drawn.x), expected, whole)
    assert_sizes_told(small)
    if own:  # the graph holds no parameters that nothing uses
        costs = Costs(network.graph, loss.units, loss.off)(gates == 0)
        assert costs.params == sum(p.numel() for p in small.parameters())
        assert costs.bytes == sum(t.numel() * t.element_size() for t in (*small.parameters(), *small.buffers()))
    for name, tensor in drawn.model.state_dict().items():
        assert torch.equal(tensor, before[name]), "the network itself was changed"


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


def check_refusals(loss: GatedLoss, drawn: Drawn) -> None:
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


def check_bundle(loss: GatedLoss, drawn: Drawn, folder: Path) -> None:
    positions = some(loss.units, drawn.picks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CutWarning)
        small = cut_network(loss.network, positions, drawn.x)
    gates = loss.gates()
    gates[positions] = 0.0
    whole, expected = loss.outputs(), loss.outputs(gates)
    save_bundle(folder, loss.network, positions, small)
    loaded = [sc.load(folder, trust=True)]
    if writable(cut_graph(loss.network, plan_cut(loss.network, positions))):
        loaded.append(sc.load(folder))
    if type(small) is type(drawn.model):
        loaded.append(sc.load(folder, copy.deepcopy(drawn.model)))
    with torch.no_grad():
        for net in loaded:
            agree(net(drawn.x), expected, whole)


@settings(max_examples=40, suppress_health_check=SLOW)
@given(PROGRAMS)
def test_random_networks(drawn: Drawn) -> None:
    loss = gated(drawn)
    if loss is not None:
        check_errors_and_scores(loss, drawn)
        check_cuts(loss, drawn)
        check_refusals(loss, drawn)


@settings(max_examples=10, suppress_health_check=SLOW)
@given(drawn=PROGRAMS)
def test_bundles_of_random_networks(drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> None:
    loss = gated(drawn)
    if loss is not None:
        check_bundle(loss, drawn, tmp_path_factory.mktemp("bundle") / "net")
