"""Costs without cutting, against the network that was really cut."""

from __future__ import annotations

import pytest
import torch
from cases import CASES, Case, gated, measurable, ones
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from secateur.costs import Costs, Size, latency
from secateur.gated import GatedLoss
from secateur.surgery import cut_graph, cut_network, plan_cut
from secateur.units import UnitSet

PRUNABLE = [case for case in CASES if case.reads]


def some(units: UnitSet, seed: int) -> list[int]:
    """About half of each site, never all of it."""
    generator = torch.Generator().manual_seed(seed)
    gone = []
    for site in units.sites:
        order = torch.randperm(len(site.units), generator=generator).tolist()
        gone += [site.units[at] for at in order[: len(site.units) // 2]]
    return sorted(gone)


def size_of(model: nn.Module) -> tuple[int, int]:
    """Parameters, and bytes of parameters and buffers, each tensor once."""
    parameters = {id(p): p for p in model.parameters()}.values()
    buffers = {id(b): b for b in model.buffers()}.values()
    return sum(p.numel() for p in parameters), sum(t.numel() * t.element_size() for t in (*parameters, *buffers))


@pytest.mark.filterwarnings("ignore::secateur.surgery.CutWarning")  # some cases' code holds sizes as numbers
@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_are_those_of_the_users_own_module_when_it_is_cut(case: Case) -> None:
    """Parameters, bytes and FLOPs, whichever units go: three random choices."""
    loss = gated(case)
    costs = Costs(loss.network.graph, loss.units)
    for seed in (1, 2, 3):
        gone = some(loss.units, seed)
        marked = torch.zeros(len(loss.units), dtype=torch.bool)
        marked[gone] = True
        small = cut_network(loss.network, gone, case.x()) if gone else loss.model
        size = costs(marked)
        assert size.flops == flops_of(case, small)
        if type(small) is type(loss.model):  # the captured graph leaves out what its code never uses
            assert (size.params, size.bytes) == size_of(small)


def flops_of(case: Case, model: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter:
        case.answer(model, case.x(examples=1))
    return counter.get_total_flops()


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.fc4 = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.fc3.weight = self.fc2.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc4(torch.tanh(self.fc3(torch.tanh(self.fc2(torch.tanh(self.fc1(x)))))))


def test_a_tied_weight_counts_once() -> None:
    loss = GatedLoss(Tied().double().eval(), (torch.randn(3, 4).double(), torch.tensor([0, 1, 0])))
    marked = torch.zeros(len(loss.units), dtype=torch.bool)
    marked[[0, 3]] = True
    size = Costs(loss.network.graph, loss.units)(marked)
    small = cut_network(loss.network, [0, 3], torch.randn(2, 4).double())
    assert isinstance(small, Tied)
    assert small.fc3.weight is small.fc2.weight
    assert (size.params, size.bytes) == size_of(small)


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_are_those_of_the_cut_network(case: Case, off: str) -> None:
    loss = measurable(case, off)
    gone = some(loss.units, 0)
    if not gone:
        pytest.skip("one unit in each site")
    small = cut_graph(loss.network, plan_cut(loss.network, gone))
    marked = torch.zeros(len(loss.units), dtype=torch.bool)
    marked[gone] = True
    size = Costs(loss.network.graph, loss.units, off)(marked)

    in_graph = {id(p): p for p in small.parameters()}
    whole = {id(p): p for p in loss.model.parameters()}
    used = set(loss.network.graph.names.values())
    unused = sum(p.numel() for name, p in loss.model.named_parameters() if name not in used)
    assert size.params == sum(p.numel() for p in in_graph.values()) + unused
    assert size.params < sum(p.numel() for p in whole.values())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        small(*case.inputs(torch.float64, 1))
    assert size.flops == counter.get_total_flops()


def test_of_weights_of_ones() -> None:
    """3-4-2 without bias: a neuron has three weights before it and two behind, each four bytes and two FLOPs."""
    loss = GatedLoss(ones(3, 4, 2).eval(), (torch.zeros(2, 3), torch.zeros(2, 2)), "sse")
    costs = Costs(loss.network.graph, loss.units)
    assert costs(torch.zeros(4, dtype=torch.bool)) == Size(params=20, bytes=80, flops=40)
    assert costs(torch.tensor([True, False, False, False])) == Size(params=15, bytes=60, flops=30)


def test_latency_is_a_median_between_its_deciles() -> None:
    model = torch.nn.Linear(4, 4)
    first, second = latency([model, model], [torch.zeros(2, 4)], repeats=12)
    for found in (first, second):
        assert 0 < found.low_ms <= found.median_ms <= found.high_ms
