"""Claims 5 and 10: the units left at the knee, and the faults tolerated, as the width grows; and what gains do."""

from __future__ import annotations

from typing import Any

import torch

from secateur.analysis import TOLERANCES, constant_error, error_scale, fault_tolerance, gain_curve, knees
from secateur.gated import GatedLoss
from secateur.studies.claims.curves import RISE, column, exponent, last_within, order, prune
from secateur.studies.claims.networks import Effort, examples, first, network, squared, variant
from secateur.trace import Trace

WIDTHS = (25, 50, 100)
COSINES = {20: "cos-small-sgd", 100: "cos-big-sgd"}
EXAMPLES = 1_000
GAINS = (2.0, 4.0)
SUPERFLUOUS = 10
ORDERS, POINTS = 20, 25


def measure(seed: int, effort: Effort) -> dict[str, Any]:
    """Perceptrons of three widths for digits, of two for the cosine."""
    values: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    digits = first(examples("mnist-acc99").rank, effort.most(EXAMPLES))
    ladder, tolerated = [], []
    for width in WIDTHS:
        own = width == 100  # the recipe's, which the zoo keeps
        model = (
            network("mnist-acc99", seed, effort)
            if own
            else variant("mnist-acc99", seed, effort, options={"sizes": (400, width, 10)})
        )
        loss = squared(model, digits)
        trace = prune(loss)
        ladder.append(_knees(loss, trace))
        tolerated.append(_tolerated(loss, seed))
        values[f"tolerated_{width}"] = tolerated[-1]
        if own:
            values |= _gains(loss, trace)
    values |= _exponents("mnist", WIDTHS, ladder, curves)
    values["tolerated"] = exponent(WIDTHS, tolerated)
    curves["tolerated"] = tolerated
    ladder = []
    for name in COSINES.values():
        ranked = examples(name).rank
        loss = squared(network(name, seed, effort), first(ranked, len(ranked)))
        ladder.append(_knees(loss, prune(loss)))
    return {"values": values | _exponents("cosine", tuple(COSINES), ladder, curves), "curves": curves}


def _knees(loss: GatedLoss, trace: Trace) -> list[float]:
    """Units left at each tolerance: NaN where not even the untouched network is within it."""
    count = len(loss.examples)
    found = knees(column(trace, "error"), float(constant_error(loss)) / count, examples=count)
    return [float("nan") if knee.last is None else float(max(knee.last, 1)) for knee in found]


def _exponents(
    name: str, widths: tuple[int, ...], ladder: list[list[float]], curves: dict[str, list[float]]
) -> dict[str, float]:
    values = {}
    for at, tolerance in enumerate(TOLERANCES):
        curves[f"{name}_{tolerance:g}"] = left = [row[at] for row in ladder]
        values[f"{name}_{tolerance:g}"] = exponent(widths, left)
    return values


def _tolerated(loss: GatedLoss, seed: int) -> float:
    """The share of units, failing at random, that the median order can spare; between two points by a straight line."""
    found = fault_tolerance(loss, ORDERS, seed=seed, every=max(1, len(loss.units) // POINTS))
    rise = (found.band("error")[1] - float(loss())) / float(error_scale(loss))
    at = last_within(torch.cummax(rise, 0).values.tolist(), RISE)
    if at + 1 == len(rise):
        return 1.0
    inside = (RISE - float(rise[at])) / float(rise[at + 1] - rise[at])
    removed = found.removed.double()
    return float(removed[at] + inside * (removed[at + 1] - removed[at])) / len(loss.units)


def _gains(loss: GatedLoss, trace: Trace) -> dict[str, float]:
    """The largest change of E, in parts of S, when one of the first units to go is multiplied instead."""
    scale, whole = float(error_scale(loss)), float(loss())
    superfluous = order(loss, trace)[:SUPERFLUOUS]
    rises = torch.stack([(gain_curve(loss, unit, GAINS) - whole).abs() / scale for unit in superfluous])
    worst = rises.amax(0).tolist()
    return {f"gain_{gain:g}": value for gain, value in zip(GAINS, worst, strict=True)} | {
        f"median_gain_{gain:g}": float(value) for gain, value in zip(GAINS, rises.median(0).values, strict=True)
    }
