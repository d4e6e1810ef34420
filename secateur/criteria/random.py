"""Chance: the criterion that every other one must beat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.gated import GatedLoss


@dataclass(frozen=True)
class Random:
    """A number drawn for each unit's name: the same units go in the same order in every run of one seed.

        score_u = uniform(0, 1), from SHA-256 of the seed and the name of u

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        none; the lowest goes first.
    Raises:
        nothing.
    Source:
        none.

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1)).eval()
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> bool((Random()(loss, torch.tensor([0, 1]))[1:] == Random()(loss, torch.tensor([1]))).all())
    True
    """

    seed: int = 0

    def seeded(self, seed: int) -> Random:
        """The same criterion with another seed."""
        return replace(self, seed=seed)

    def __call__(self, loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
        names = [loss.units[at].name for at in alive.tolist()]
        digests = (hashlib.sha256(f"{self.seed} {name}".encode()).digest() for name in names)
        draws = [int.from_bytes(digest[:6], "big") / 2**48 for digest in digests]
        return torch.tensor(draws, dtype=torch.float64, device=loss.device)
