"""Tiles in threads: the same sums, in the same order, and torch's own threads as they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cases import BY_NAME, CASES, Case, gated

from secateur.errors import NonFiniteError
from secateur.gated import Tile
from secateur.gated.executor import Serial
from secateur.oracle import exact


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    was = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "what was switched off must be switched on again"
    torch.set_num_threads(was)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bits_as_one_after_the_other(case: Case) -> None:
    loss = gated(case).alone()
    loss.tile = 3
    gates, units = loss.gates(), torch.arange(len(loss.units))
    apart = loss(gates), loss.gradient(gates), exact(loss, gates, units), loss.outputs(gates)
    torch.set_num_threads(1)
    alone = loss(gates), loss.gradient(gates), exact(loss, gates, units), loss.outputs(gates)
    torch.set_num_threads(2)
    for mine, expected in zip(apart, alone, strict=True):
        assert torch.allclose(mine, expected, rtol=1e-13, atol=1e-13)


def test_threads_are_used_and_know_whether_gradients_are_wanted() -> None:
    seen: list[tuple[int, bool, bool]] = []

    def call(at: int) -> tuple[torch.Tensor, ...]:
        seen.append((torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return (torch.tensor(at),)

    with torch.no_grad():
        assert [int(row) for (row,) in Serial().map(call, 7, apart=True)] == list(range(7))
    assert [int(row) for (row,) in Serial().map(call, 7, apart=True)] == list(range(7))
    assert set(seen[:7]) == {(1, False, False)}
    assert set(seen[7:]) == {(1, True, False)}


def test_the_error_of_the_earliest_tile_is_told() -> None:
    def call(at: int) -> tuple[torch.Tensor, ...]:
        if at in (2, 4):
            raise NonFiniteError(f"tile {at}")
        return (torch.tensor(at),)

    for _ in range(5):
        with pytest.raises(NonFiniteError, match="tile 2"):
            list(Serial().map(call, 6, apart=True))
        assert torch.get_num_threads() == 2


def test_who_stops_early_leaves_torch_as_it_was() -> None:
    rows = Serial().map(lambda at: (torch.tensor(at),), 6, apart=True)
    assert int(next(rows)[0]) == 0
    rows.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.get_num_threads() == 2


def test_a_users_own_loss_stays_in_one_thread() -> None:
    import threading

    case, seen = BY_NAME["conv"], set()

    def own(output: torch.Tensor, batch: object) -> torch.Tensor:
        seen.add(threading.get_ident())
        return output.square().sum(1)

    from secateur.gated import GatedLoss

    loss = GatedLoss(case.model(), case.data(), own, tile=2)
    loss.total(lambda tile: loss.tile_losses(tile, loss.gates()).sum())
    assert seen == {threading.get_ident()}
    assert isinstance(next(loss.tiles()), Tile)
