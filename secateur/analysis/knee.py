"""Knees: how many units a network needs before an error, the same for all networks that are compared, is exceeded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from secateur.errors import OptionError
from secateur.trace import Trace

TOLERANCES = (0.001, 0.003, 0.01, 0.03, 0.1)


@dataclass(frozen=True, slots=True)
class Knee:
    """Units left at the `last` point whose error is below the threshold, and just before its `first` crossing.

    None where not even the untouched network is below it (`first`), or no point is (`last`).
    """

    threshold: float
    last: int | None
    first: int | None


def knee(errors: Trace | Sequence[float], threshold: float, *, examples: int = 1, units: int | None = None) -> Knee:
    """How few units keep the error of an example below a threshold.

        last  = K - max {m: E_m / N <= threshold};   first = K - max {m: E_0 / N ... E_m / N all <= threshold}

    They differ where the error recovers. To compare widths, give all networks the same threshold.

    Shape:
        a trace, or the errors after 0, 1, 2 ... removals.
    Units:
        threshold: error of an example; N = `examples` divides errors that are summed over examples, as a trace's are.
        K = `units` are those of the untouched network; by default a trace's own, or one fewer than there are errors.
    Raises:
        OptionError: no errors, NaN among them, or fewer units than removals.
    Source:
        PAPER.md, "Definitions for the claims".

    >>> knee([0.0, 1.0, 8.0, 2.0, 9.0], 3.0)
    Knee(threshold=3.0, last=1, first=3)
    """
    summed = [step.error for step in errors.steps] if isinstance(errors, Trace) else [float(e) for e in errors]
    known = errors.unit_count if isinstance(errors, Trace) else len(summed) - 1
    total = known if units is None else units
    if not summed or examples < 1 or total < len(summed) - 1 or any(map(math.isnan, summed)):
        raise OptionError(
            f"knee got {len(summed)} errors of {examples} examples, and {total} units; expected the errors after 0, 1, "
            "2 ... removals, numbers all, at most one more than units, of an example or more."
        )
    below = [error / examples <= threshold for error in summed]
    crossing = below.index(False) if False in below else len(below)
    last = max((m for m, fine in enumerate(below) if fine), default=None)
    return Knee(threshold, None if last is None else total - last, total - crossing + 1 if crossing else None)


def knees(
    errors: Trace | Sequence[float],
    scale: float,
    tolerances: Sequence[float] = TOLERANCES,
    *,
    examples: int = 1,
    units: int | None = None,
) -> tuple[Knee, ...]:
    """The whole ladder of knees: a conclusion from one threshold may turn round at the next.

        threshold = tolerance * scale, for each tolerance

    Units:
        `scale`: error of an example, shared by the networks that are compared, such as the best constant output's.
    Raises:
        as `knee`.
    Source:
        PAPER.md, "Definitions for the claims", and claim 5.

    >>> [found.last for found in knees([0.0, 1.0, 8.0, 2.0, 9.0], 10.0, (0.1, 0.3))]
    [3, 1]
    """
    return tuple(knee(errors, tolerance * scale, examples=examples, units=units) for tolerance in tolerances)
