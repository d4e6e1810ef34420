"""Costs without cutting, against the network that was really cut."""

from __future__ import annotations

import pytest
import torch
from cases import CASES, Case, gated
from torch.utils.flop_counter import FlopCounterMode

from secateur.costs import Costs, latency
from secateur.errors import UnitError
from secateur.surgery import cut_graph, plan_cut
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


@pytest.mark.parametrize("off", ["zero", "mean"])
@pytest.mark.parametrize("case", PRUNABLE, ids=str)
def test_are_those_of_the_cut_network(case: Case, off: str) -> None:
    try:
        loss = gated(case, off=off)
    except UnitError:
        pytest.skip("no unit whose mean can move into a bias")
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


def test_of_a_hand_made_network() -> None:
    from cases import ones

    loss_model = ones(3, 4, 2).eval()
    from secateur.gated import GatedLoss

    loss = GatedLoss(loss_model, (torch.zeros(2, 3), torch.zeros(2, 2)), "sse")
    costs = Costs(loss.network.graph, loss.units)
    bias = any("bias" in name for name, _ in loss_model.named_parameters())
    whole = costs(torch.zeros(4, dtype=torch.bool))
    assert whole.params == 3 * 4 + 4 * 2 + (6 if bias else 0)
    assert whole.flops == 2 * (3 * 4 + 4 * 2)
    one_gone = costs(torch.tensor([True, False, False, False]))
    assert whole.params - one_gone.params == 3 + 2 + (1 if bias else 0)
    assert whole.bytes - one_gone.bytes == 4 * (whole.params - one_gone.params)
    assert whole.flops - one_gone.flops == 2 * (3 + 2)


def test_latency_is_a_median_between_its_deciles() -> None:
    model = torch.nn.Linear(4, 4)
    first, second = latency([model, model], [torch.zeros(2, 4)], repeats=12)
    for found in (first, second):
        assert 0 < found.low_ms <= found.median_ms <= found.high_ms
