"""The paper's thresholding: estimates that are too large to be true are replaced by the mean, or the median."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.gated import GatedLoss


@dataclass(frozen=True)
class Thresholded:
    """Another criterion's scores, those above a threshold replaced.

        threshold = mean + 3 standard deviations of the alive units' scores
        score_u = the mean (or median) of the scores where score_u > threshold, score_u elsewhere

    The paper says that second-order changes above a threshold are replaced by the mean or the median, and gives no
    more; the threshold is our choice.

    Shape:
        alive (n,) positions -> (n,) float64.
    Units:
        those of the criterion.
    Raises:
        what the criterion raises.
    Source:
        The paper (arXiv 1701.04465), section 3.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 20), torch.nn.Linear(20, 1)).eval()
    >>> loss = GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), loss="sse")
    >>> high = torch.tensor([0.0] * 19 + [100.0], dtype=torch.float64)
    >>> float(Thresholded(lambda loss, alive: high, "median")(loss, torch.arange(20)).max())
    0.0
    """

    criterion: Callable[[GatedLoss, Tensor], Tensor]
    replacement: Literal["mean", "median"] = "mean"
    estimates_error = True

    def __call__(self, loss: GatedLoss, alive: Int64[Tensor, " alive"]) -> Float64[Tensor, " alive"]:
        scores = self.criterion(loss, alive)
        if len(scores) < 2:
            return scores
        threshold = scores.mean() + 3 * scores.std(correction=0)
        usual = scores.mean() if self.replacement == "mean" else scores.median()
        return scores.where(scores <= threshold, usual)
