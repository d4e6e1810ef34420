"""Two curves of error side by side: the same removals? how much worse? at equal seconds?"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.bench.runs import Curve


def beside(curve: Curve, exact: Curve, ceiling: float) -> dict[str, Any]:
    """A run beside the exact oracle's: where the removals part, and the mean log-ratio of E on the way to `ceiling`.

        mean over removals k = 1 .. m of log(E_k / E_k of exact),   m the last k before E_k of exact exceeds the ceiling

    Units: the ratio has none; 0.02 is about 2% more error. None where there is nothing to compare, or an error is 0.
    """
    both = min(len(curve.removed), len(exact.removed))
    first = next((k for k in range(both) if curve.removed[k] != exact.removed[k]), None)
    last = next((k - 1 for k, error in enumerate(exact.errors) if error > ceiling), len(exact.removed))
    reached = min(last, both)
    logs = [log_ratio(curve.errors[k], exact.errors[k]) for k in range(1, reached + 1)]
    known = [value for value in logs if value is not None]
    return {
        "same_removals": first is None and len(curve.removed) == len(exact.removed),
        "removals_compared": both,
        "first_difference": None if first is None else first + 1,
        "mean_log_ratio": statistics.fmean(known) if known else None,
        "greatest_log_ratio": max(known) if known else None,
        "removals_below_ceiling": last,
        "log_ratios": len(known),
        "whole_way": reached == last,
        "faster": exact.seconds[both] / curve.seconds[both] if both and curve.seconds[both] > 0 else None,
    }


def log_ratio(one: float, other: float) -> float | None:
    """log(one / other); None where it is none.

    >>> log_ratio(2.0, 2.0), log_ratio(0.0, 1.0)
    (0.0, None)
    """
    return math.log(one / other) if one > 0 and other > 0 else None


def both_curves(curve: Curve, rival: Curve) -> dict[str, Any]:
    """A run against a rival's: at equal units removed, and at equal seconds.

    At equal units every removal that both made counts. At equal seconds every moment counts at which either has just
    removed a unit, from the first removal of the rival to the end of the shorter run. A faster run has removed more by
    then, which costs error; `ahead` therefore counts the removals that `curve` made no later, with no more error.
    """
    both = min(len(curve.removed), len(rival.removed))
    units = [(curve.errors[k], rival.errors[k]) for k in range(1, both + 1)]
    end = min(curve.seconds[-1], rival.seconds[-1])
    moments = sorted({*curve.seconds, *rival.seconds})
    begin = rival.seconds[1] if len(rival.seconds) > 1 else math.inf
    at = [(_then(curve, moment), _then(rival, moment)) for moment in moments if begin <= moment <= end]
    ahead = [
        curve.seconds[k] <= rival.seconds[k] and curve.errors[k] <= rival.errors[k] for k in range(1, both + 1)
    ]  # fmt: skip
    return {
        "equal_units": _summary(units),
        "equal_seconds": _summary([(a[1], b[1]) for a, b in at])
        | {"removed_at_the_end": [_then(curve, end)[0], _then(rival, end)[0]], "seconds": end},
        "ahead": {"points": both, "share": _share(ahead), "first_behind": _first_false(ahead)},
        "seconds_to_the_same_removals": [curve.seconds[both], rival.seconds[both]],
    }


def _then(curve: Curve, moment: float) -> tuple[int, float]:
    """Units removed at a moment, and the error there."""
    step = max(0, bisect.bisect_right(curve.seconds, moment) - 1)
    return step, curve.errors[step]


def _summary(pairs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Of pairs (ours, the rival's): how often ours is no greater, and by how much they differ."""
    below = [ours <= theirs for ours, theirs in pairs]
    logs = [value for pair in pairs if (value := log_ratio(*pair)) is not None]
    return {
        "points": len(pairs),
        "share_below": _share(below),
        "first_above": _first_false(below),
        "median_ratio": math.exp(statistics.median(logs)) if logs else None,
        "greatest_ratio": math.exp(max(logs)) if logs else None,
    }


def _share(truths: Sequence[bool]) -> float | None:
    return sum(truths) / len(truths) if truths else None


def _first_false(truths: Sequence[bool]) -> int | None:
    """Counted from 1."""
    return next((k for k, true in enumerate(truths, 1) if not true), None)
