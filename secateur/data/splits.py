"""The records that every data set hands out: Split and Splits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from secateur.errors import DataError


@dataclass(frozen=True, eq=False)
class Split(Dataset[tuple[Tensor, Tensor]]):
    """Examples in a fixed order: inputs and what the network should answer.

    It is a map-style torch Dataset, so it goes wherever one is taken; `pair` is the plain `(x, y)`.

    Shape:
        x: (N, ...) float32. y: (N,) int64 classes, or (N, ...) float32 for a regression.

    Units:
        len() counts examples.

    Raises:
        DataError: another type, or a different number of examples in x and y.

    Source:
        docs/design.md, decision 14 (data is fixed).

    >>> split = Split(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    >>> len(split), split[2][1].item()
    (3, 1)
    """

    x: Tensor
    y: Tensor

    def __post_init__(self) -> None:
        if self.x.dtype != torch.float32 or self.y.dtype not in (torch.int64, torch.float32):
            raise DataError(
                f"got x of {self.x.dtype} and y of {self.y.dtype}; expected x of torch.float32 and y of torch.int64 "
                "(classes) or torch.float32 (regression): convert them with .float() or .long()"
            )
        if self.x.ndim == 0 or self.y.ndim == 0 or len(self.x) != len(self.y):
            raise DataError(
                f"got x of shape {tuple(self.x.shape)} and y of shape {tuple(self.y.shape)}; expected the same number "
                "of examples in the first dimension of both"
            )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.y[index]

    @property
    def pair(self) -> tuple[Tensor, Tensor]:
        return self.x, self.y


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """The four uses of data, kept apart.

    Shape:
        four Splits whose examples have the same shape.

    Units:
        `fit` trains the network; `rank` is what a criterion scores on; `stop` decides when pruning ends; `report` is
        held out and only ever reported. The paper ranks on its training data: where a data set does the same, `rank`
        *is* `fit`, the same object.

    Raises:
        Nothing: each Split checks itself.

    Source:
        The paper (arXiv 1701.04465) ranks and reports on its training data; the four splits allow both.

    >>> half = Split(torch.zeros(2, 1), torch.tensor([0, 1]))
    >>> Splits(fit=half, rank=half, stop=half, report=half).rank is half
    True
    """

    fit: Split
    rank: Split
    stop: Split
    report: Split
