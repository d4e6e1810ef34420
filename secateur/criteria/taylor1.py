"""First-order Taylor: Skeletonization."""

from __future__ import annotations

from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.gated import GatedLoss


def taylor1(loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
    """The change of error, had the error a constant slope in the gate: one backward pass for all units.

        score_u = -dE/dg_u

    The gate sits where the unit is read. For off="zero" that is - sum_n o_n dE/do_n, the paper's first order.

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; the lowest goes first.
    Raises:
        NonFiniteError: the loss is NaN or infinite.
    Source:
        Mozer and Smolensky 1988; the paper (arXiv 1701.04465), equation 2.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> taylor1(loss, torch.tensor([0, 1]))  # E = 1/2 (g_0 + g_1)^2
    tensor([-2., -2.], dtype=torch.float64)
    """
    return -loss.gradient(loss.gates(alive))[alive]


taylor1.estimates_error = True  # pyright: ignore[reportFunctionMemberAccess]  # its ties are those of an error
