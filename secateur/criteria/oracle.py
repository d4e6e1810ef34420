"""The oracle: the true change of error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float64, Int64
from torch import Tensor

from secateur import oracle as engines
from secateur.gated import GatedLoss


@dataclass(frozen=True)
class Oracle:
    """Switch each unit off and measure: brute force, by the engine of your choice.

        score_u = E(g - e_u) - E(g)

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; the lowest goes first, and below 0 the network gets better.
    Raises:
        UnknownNameError: no engine of that name.
    Source:
        The paper (arXiv 1701.04465), section 2.1.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> Oracle()(loss, torch.tensor([0, 1]))  # from 1/2 2^2 to 1/2 1^2
    tensor([-1.5000, -1.5000], dtype=torch.float64)
    """

    engine: str | engines.Engine = "exact"
    estimates_error = True

    def using(self, engine: str | engines.Engine, seed: int | None = None) -> Oracle | PartialOracle:
        """The same criterion by another engine, with this seed where it draws. Raises: UnknownNameError."""
        found: Any = engines.begin(engine, seed)
        return PartialOracle(found) if getattr(found, "partial", False) else Oracle(engine)

    def begin(self) -> Oracle | PartialOracle:
        """The criterion for one run: an engine that measures only some units gets a memory of its own.

        Without it (as in `Oracle("lazy")(loss, alive)`) every unit is measured. Raises: UnknownNameError.
        """
        return self.using(self.engine)

    def __call__(self, loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
        return engines.resolve(self.engine)(loss, loss.gates(alive), alive)


class PartialOracle:
    """The oracle by an engine that measures only what it must to tell the lowest score, and remembers.

        score_u = E(g - e_u) - E(g), NaN where it was not measured

    Shape:
        alive (n,) positions, candidates (m,) those of them that may be removed -> (n,) float64. Without candidates, all
        alive units are measured.
    Units:
        change of the error, summed over examples; the lowest goes first.
    Raises:
        what the engine raises.
    Source:
        The paper (arXiv 1701.04465), section 2.1; docs/oracle.md.
    """

    estimates_error = True
    partial = True

    def __init__(self, engine: engines.PartialEngine) -> None:
        self.engine = engine

    def __call__(
        self, loss: GatedLoss, alive: Int64[Tensor, " alive"], candidates: Int64[Tensor, " candidates"] | None = None
    ) -> Float64[Tensor, " alive"]:
        return self.engine(loss, loss.gates(alive), alive, candidates)

    def state(self) -> dict[str, Any]:
        """What the engine remembers, JSON-able: saved with each ranking."""
        return self.engine.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` told."""
        self.engine.restore(state)

    def report(self) -> dict[str, Any]:
        """What the run has cost, and how sure its choices were."""
        return self.engine.report()
