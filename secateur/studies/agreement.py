"""Where our curves and the paper's agree: the removals at which each passes the same marks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from secateur.studies import paper
from secateur.studies.plan import PAPER, Figure, Study
from secateur.studies.tables import ERROR, Records, runs
from secateur.studies.work import TRAINING

FALLS = {"accuracy_falls_1_point": 0.01, "accuracy_falls_5_points": 0.05}
GROWS, FACTOR = "error_grows_tenfold", 10.0
ROUNDING = 1e-9
MARKS = (*FALLS, GROWS)


def falls(values: Sequence[float], start: float, points: float, first: int = 0) -> int | None:
    """The removals at which accuracy is first below `start` by more than so much; None where it never is.

    >>> falls([0.99, 0.985, 0.97], start=0.99, points=0.01)
    2
    """
    return _first([value < start - points - ROUNDING for value in values], first)


def grows(errors: Sequence[float], first: int = 1) -> int | None:
    """The removals at which E is first ten times what it was after one removal, which is the paper's first record.

    `errors` begin there. None where it never is, and where that first error is no positive number.

    >>> grows([2.0, 15.0, 20.0])
    3
    """
    if not errors or errors[0] <= 0:
        return None
    return _first([error >= FACTOR * errors[0] for error in errors], first)


def ours(study: Study, figure: Figure, criterion: str, records: Records, condition: int = 0) -> dict[str, Any]:
    """Each mark over our networks: median, lowest, highest, and how many networks; null where a mark is never passed.

    Units: removed units. Accuracy is that on the ranking examples, which the paper's nets were trained on.
    """
    errors = runs(records, condition, figure.schedule, criterion, ERROR)
    found: dict[str, list[int | None]] = {GROWS: [grows(row[1:].tolist()) for row in errors]}
    if study.classes:
        accuracy = runs(records, condition, figure.schedule, criterion, TRAINING)
        for mark, points in FALLS.items():
            found[mark] = [falls(row.tolist(), float(row[0]), points) for row in accuracy]
    return {mark: _summary(values) for mark, values in found.items() if values}


def papers(study: Study, figure: Figure, criterion: str) -> dict[str, Any]:
    """The same marks on the paper's curve, from the accuracy that it states for its untouched network."""
    method = PAPER[criterion]
    found: dict[str, Any] = {}
    if errors := [value for _, value in paper.curve(figure.error, method)]:
        found[GROWS] = grows(errors) if errors[0] > paper.READ_TO else None
        if errors[0] <= paper.READ_TO:
            found["note"] = f"the first error, {errors[0]:g}, is within what it was read to ({paper.READ_TO:g})"
    if study.start is not None and (accuracy := [value for _, value in paper.curve(figure.accuracy, method)]):
        for mark, points in FALLS.items():
            found[mark] = falls(accuracy, study.start, points, first=1)
    return found


def agreement(studies: Sequence[Study], records: Records) -> dict[str, Any]:
    """Figure by figure, criterion by criterion: the paper's marks beside ours.

    Only figures that the paper has too, condition by condition where there are several; those without networks are
    left out.
    """
    table: dict[str, Any] = {}
    for study in studies:
        mine = [pair for pair in records if pair[0].study.name == study.name]
        compared = [name for name in study.criteria if name in PAPER]
        for figure, (place, condition) in product(study.figures, enumerate(study.conditions)):
            if figure.error and any(job.condition == condition for job, _ in mine):
                name = figure.name if len(study.conditions) == 1 else f"{figure.name} ({condition.label})"
                table[name] = {
                    criterion: {
                        "paper": papers(study, figure, criterion),
                        "ours": ours(study, figure, criterion, mine, place),
                    }
                    for criterion in compared
                }
    return table


def to_csv(table: dict[str, Any]) -> str:
    """A row a figure, criterion and mark."""
    lines = ["figure,criterion,mark,paper,ours_median,ours_low,ours_high,networks,never"]
    for figure, criteria in table.items():
        for criterion, both in criteria.items():
            for mark in MARKS:
                if mark in both["ours"]:
                    own = both["ours"][mark]
                    cells = (both["paper"].get(mark), *(own[key] for key in ("median", "low", "high")))
                    shown = ",".join("" if cell is None else f"{cell:g}" for cell in cells)
                    lines.append(f'"{figure}",{criterion},{mark},{shown},{own["networks"]},{own["never"]}')
    return "\n".join(lines) + "\n"


HEADINGS = {"accuracy_falls_1_point": "−1 point", "accuracy_falls_5_points": "−5 points", GROWS: "E x 10"}


def to_markdown(table: dict[str, Any]) -> str:
    """The same for readers: the paper's number / ours, the median (lowest to highest).

    A dash: never. A question mark: the paper does not tell.
    """
    lines = ["| figure (networks) | criterion | " + " | ".join(HEADINGS.values()) + " |", "|---" * 5 + "|"]
    for figure, criteria in table.items():
        for criterion, both in criteria.items():
            own = both["ours"]
            cells = [f"{_papers(both['paper'], mark)} / {_own(own[mark])}" if mark in own else "" for mark in HEADINGS]
            lines.append(f"| {figure} ({own[GROWS]['networks']}) | {criterion} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _papers(found: dict[str, Any], mark: str) -> str:
    return _mark(found[mark]) if mark in found and not (mark == GROWS and "note" in found) else "?"


def _own(found: dict[str, Any]) -> str:
    low, middle, high = (_mark(found[key]) for key in ("low", "median", "high"))
    return middle if low == high else f"{middle} ({low} to {high})"


def _mark(value: int | None) -> str:
    return "–" if value is None else str(value)


def _first(passed: Sequence[bool], first: int) -> int | None:
    return next((at for at, yes in enumerate(passed, start=first) if yes), None)


def _summary(values: Sequence[int | None]) -> dict[str, Any]:
    """Never counts as later than any removal."""
    numbers = np.array([math.inf if value is None else value for value in values], dtype=float)
    shown = {
        "median": float(np.quantile(numbers, 0.5, method="higher")),
        "low": float(numbers.min()),
        "high": float(numbers.max()),
    }
    plain = {key: None if math.isinf(value) else int(value) for key, value in shown.items()}
    return {**plain, "networks": len(numbers), "never": int(np.isinf(numbers).sum())}
