"""Second-order Taylor, exact in any network."""

from __future__ import annotations

from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.gated import GatedLoss
from secateur.oracle.curvature import second_derivatives


def taylor2(loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
    """The change of error, had the error a constant curvature in the gate: the parabola through g_u = 1.

        score_u = -dE/dg_u + 1/2 d2E/dg_u2

    Both derivatives are exact, through every layer; `taylor2_paper` is the paper's recursion, which is not.

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        change of the error, summed over examples; the lowest goes first.
    Raises:
        NonFiniteError: the loss is NaN or infinite.
    Source:
        The paper (arXiv 1701.04465), equation 3, with d2E/do2 by automatic differentiation.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> taylor2(loss, torch.tensor([0, 1]))  # E = 1/2 (g_0 + g_1)^2 is a parabola: equal to the oracle
    tensor([-1.5000, -1.5000], dtype=torch.float64)
    """
    gates = loss.gates(alive)
    return -loss.gradient(gates)[alive] + second_derivatives(loss, gates, alive) / 2


taylor2.estimates_error = True  # pyright: ignore[reportFunctionMemberAccess]  # its ties are those of an error
