"""The paper's own curves, read from the vector graphics of its figures."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

READ_TO = 0.3
"""How exactly E could be read off; a first value below it tells nothing."""

Points = tuple[tuple[int, float], ...]


def curve(figure: str, method: str) -> Points:
    """(units removed, value) of one curve, from 1 removed on; empty where the paper has none.

    Source:
        paper_curves.csv, from arXiv 1701.04465: figures "-accuracy" are the accuracy, others E. Read to about 0.3 in E
        (values near 0 can come out slightly negative) and 0.001 in accuracy. There is no row for the untouched network.

    >>> curve("mnist-acc99-iterative-rerank-accuracy", "brute_force")[0]
    (1, 0.9953)
    """
    return _curves().get((figure, method), ())


@cache
def _curves() -> dict[tuple[str, str], Points]:
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    with files("secateur.studies").joinpath("paper_curves.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            point = int(row["removed"]), float(row["value"])
            found.setdefault((row["figure"], row["method"]), []).append(point)
    return {key: tuple(points) for key, points in found.items()}
