"""What a criterion says of every unit in one state, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float64, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class StateFidelity:
    """What a criterion says in one state, beside the truth.

    `alive` (n,) positions of the units that are on; `estimated` and `true` (n,) their scores by the criterion and the
    oracle; then the quantities that `fidelity` defines, NaN where one is not defined.
    """

    alive: Int64[Tensor, " alive"]
    estimated: Float64[Tensor, " alive"]
    true: Float64[Tensor, " alive"]
    slope: float
    intercept: float
    sign_agreement: float
    kendall: float
    overlap: float
    regret: float
