"""Values that are kept: they are those that would be computed now, whatever has changed since."""

from __future__ import annotations

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated

from secateur.gated import GatedLoss
from secateur.gated.before import Before, Under
from secateur.oracle import exact


def forgetful(loss: GatedLoss) -> GatedLoss:
    """The same loss, with room for nothing."""
    other = loss.alone()
    other._before, other._under = Before(loss.network, loss.examples, 0), Under(0)
    return other


@pytest.mark.parametrize("case", CASES, ids=str)
def test_kept_values_are_those_computed_afresh(case: Case) -> None:
    """Rounds under changing gates, with E asked for in between."""
    loss = gated(case)
    fresh = forgetful(loss)
    gates = loss.gates()
    for unit in range(min(3, len(gates) - 1)):
        units = gates.nonzero().flatten()
        assert exact(loss, gates, units).equal(exact(fresh, gates, units))
        gates[unit] = 0.0
        assert loss(gates).equal(fresh(gates))
        assert loss.measure(gates)[1].equal(fresh.measure(gates)[1])


def test_a_changed_parameter_is_seen() -> None:
    loss = gated(BY_NAME["conv"])
    gates, units = loss.gates(), torch.arange(4)
    before = exact(loss, gates, units)
    for name in ("conv1.weight", "fc2.bias"):  # before the first gate, and behind the last
        parameter = dict(loss.model.named_parameters())[name]
        was = parameter.detach().clone()
        with torch.no_grad():
            parameter.mul_(1.5)
        changed = exact(loss, gates, units)
        assert not torch.allclose(changed, before)
        assert changed.equal(exact(forgetful(loss), gates, units))
        with torch.no_grad():
            parameter.copy_(was)
    assert exact(loss, gates, units).equal(before)


def test_work_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """E after a removal and the round that follows share a forward pass; what comes before the gates is done once."""
    loss, runs = GatedLoss(BY_NAME["conv"].model(), BY_NAME["conv"].data(), BY_NAME["conv"].loss), []
    network = type(loss.network)
    for name in ("before", "after"):
        method = getattr(network, name)
        monkeypatch.setattr(
            network, name, lambda *a, name=name, method=method, **k: (runs.append(name), method(*a, **k))[1]
        )
    gates, units = loss.gates(), torch.arange(4)
    exact(loss, gates, units)
    for unit in range(2):
        gates = gates.index_fill(0, torch.tensor([unit]), 0.0)
        loss(gates)
        exact(loss, gates, units[2:])
    assert runs.count("after") == 3
    assert runs.count("before") == 0  # it was kept when the loss was made


def test_other_examples_are_not_mixed_up() -> None:
    case = BY_NAME["relu"] if "relu" in BY_NAME else CASES[0]
    loss = gated(case)
    gates, units = loss.gates(), torch.arange(3)
    whole = exact(loss, gates, units)
    half = loss.on(case.data(examples=5))
    assert not torch.allclose(exact(half, gates, units), whole)
    assert exact(loss, gates, units).equal(whole)


def test_inputs_that_ask_for_a_gradient_leave_no_graph() -> None:
    case = BY_NAME["conv"]
    (x,), y = case.inputs(), case.target()
    loss = GatedLoss(case.model(), (x.clone().requires_grad_(True), y), case.loss)
    assert not any(getattr(v, "requires_grad", False) for env in loss._before._kept.values() for v in env.values())
    assert exact(loss, loss.gates(), torch.arange(3)).allclose(exact(gated(case), loss.gates(), torch.arange(3)))
