"""How the seconds of one round grow: with the examples, and with the units of a site."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from secateur.bench.oracle import oracle_round
from secateur.bench.subjects import Subject, Weights, make_subject

WIDE = "mlp:784-{}-10"
"""The network whose one site grows."""


def grow_examples(
    name: str,
    counts: Sequence[int],
    engines: Sequence[str],
    peers: Sequence[str] = (),
    *,
    weights: Weights = "trained",
    rounds: int = 5,
    peer_units: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Seconds of one round of a network on more and more examples, with the exponent of the growth.

    Units: seconds; an exponent of 1 is linear growth.
    """
    return _grow(
        "examples",
        counts,
        lambda count: make_subject(name, count, weights=weights, seed=seed),
        engines,
        peers,
        rounds=rounds,
        peer_units=peer_units,
        seed=seed,
    ) | {"network": name}


def grow_width(
    widths: Sequence[int],
    examples: int,
    engines: Sequence[str],
    peers: Sequence[str] = (),
    *,
    network: str = WIDE,
    weights: Weights = "untrained",
    rounds: int = 5,
    peer_units: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Seconds of one round of perceptrons with more and more units in one hidden layer ({} in `network`).

    Untrained by default: training leaves other shares of zeros at other widths, which is not the growth that is asked.

    Units: seconds; an exponent of 1 is linear growth.
    """
    return _grow(
        "units",
        widths,
        lambda width: make_subject(network.format(width), examples, weights=weights, seed=seed),
        engines,
        peers,
        rounds=rounds,
        peer_units=peer_units,
        seed=seed,
    ) | {"network": network.format("width"), "examples": examples}


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float | None:
    """The slope of the least-squares line through (log size, log seconds); None for fewer than two sizes.

        seconds ~ size^exponent

    >>> round(exponent([1, 2, 4], [3, 6, 12]), 6), exponent([1], [1])
    (1.0, None)
    """
    if len(set(sizes)) < 2:
        return None
    return statistics.linear_regression([math.log(n) for n in sizes], [math.log(s) for s in seconds]).slope


def _grow(
    of: str,
    sizes: Sequence[int],
    subject: Callable[[int], Subject],
    engines: Sequence[str],
    peers: Sequence[str],
    **options: Any,
) -> dict[str, Any]:
    rounds = [oracle_round(subject(size), engines, peers, **options) for size in sizes]
    lines = []
    for at, way in enumerate(rounds[0]["ways"]):
        seconds = [found["ways"][at]["seconds"] for found in rounds]
        medians = [entry["median"] for entry in seconds]
        lines.append(
            {
                "way": way["way"],
                "kind": way["kind"],
                "sizes": list(sizes),
                "seconds": seconds,
                "exponent": exponent(sizes, medians),
                "last_exponent": exponent(sizes[-2:], medians[-2:]),
                "extrapolated": any(found["ways"][at].get("extrapolated", False) for found in rounds),
            }
        )
    return {"of": of, "data": rounds[-1]["data"], "weights": rounds[-1]["weights"], "lines": lines}
