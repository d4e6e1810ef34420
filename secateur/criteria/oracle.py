"""The oracle: the true change of error."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def using(self, engine: str | engines.Engine) -> Oracle:
        """The same criterion by another engine. Raises: UnknownNameError."""
        engines.resolve(engine)
        return replace(self, engine=engine)

    def __call__(self, loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
        return engines.resolve(self.engine)(loss, loss.gates(alive), alive)
