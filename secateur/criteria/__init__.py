"""Criteria: which unit goes next? Each is `(loss, alive) -> scores`, one score for every alive unit; the lowest goes.

Adding one is a file here and a line in CRITERIA, which enrols it in the command line and the conformance tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from secateur.criteria.magnitude import magnitude
from secateur.criteria.oracle import Oracle
from secateur.criteria.random import Random
from secateur.criteria.surrogate import Surrogate
from secateur.criteria.taylor1 import taylor1
from secateur.criteria.taylor2 import taylor2
from secateur.criteria.taylor2_paper import taylor2_paper
from secateur.criteria.thresholded import Thresholded
from secateur.errors import OptionError, UnknownNameError

Criterion = Callable[[Any, Tensor], Tensor]

CRITERIA: dict[str, Criterion] = {
    "oracle": Oracle(),
    "taylor1": taylor1,
    "taylor2": taylor2,
    "taylor2_mean": Thresholded(taylor2, "mean"),
    "taylor2_median": Thresholded(taylor2, "median"),
    "taylor2_softplus": Surrogate(taylor2),
    "taylor2_paper": taylor2_paper,
    "taylor2_paper_mean": Thresholded(taylor2_paper, "mean"),
    "taylor2_paper_median": Thresholded(taylor2_paper, "median"),
    "magnitude": magnitude,
    "random": Random(),
}


def resolve(criterion: str | Criterion, engine: Any = None, seed: int = 0) -> Criterion:
    """The criterion of that name, with its engine and seed where it has one; a function is handed back as it is.

    One that remembers from round to round is fresh each time, so that runs share nothing.

    Raises: UnknownNameError; OptionError for an engine with a criterion that has none.
    """
    if isinstance(criterion, str):
        if criterion not in CRITERIA:
            raise UnknownNameError("criterion", criterion, CRITERIA)
        found: Any = CRITERIA[criterion]
        if hasattr(found, "seeded"):
            found = found.seeded(seed)
    else:
        found = criterion
    if engine is None:
        return found.begin() if hasattr(found, "begin") else found
    if not hasattr(found, "using"):
        raise OptionError(f"engine={engine!r} is a way to evaluate the oracle; criterion {criterion!r} has no engine")
    return found.using(engine, seed)
