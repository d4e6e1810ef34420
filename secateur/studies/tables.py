"""From records to the numbers of a figure, and those as CSV: nothing is in a picture that is not in its table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from secateur.plots.study import BAND, Curve, Panel
from secateur.studies import paper
from secateur.studies.jobs import Job
from secateur.studies.plan import PAPER, Figure, Study
from secateur.studies.store import Record
from secateur.studies.work import HELD_OUT, HELD_OUT_ERROR, TRAINING

ERROR = "error"
NAMES = {
    ERROR: "E, ranking examples",
    HELD_OUT_ERROR: "E, held-out examples",
    TRAINING: "accuracy, training",
    HELD_OUT: "accuracy, held out",
}
LABELS = {
    "oracle": "oracle (brute force)",
    "taylor1": "taylor1 (first order)",
    "taylor2_paper": "taylor2_paper (recursion)",
    "taylor2": "taylor2 (exact)",
}
Records = Sequence[tuple[Job, Record]]


def quantities(study: Study) -> tuple[str, ...]:
    """What the panels of a study show."""
    return (ERROR, TRAINING, HELD_OUT) if study.classes else (ERROR, HELD_OUT_ERROR)


def runs(records: Records, condition: int, schedule: str, criterion: str, quantity: str) -> np.ndarray:
    """One quantity of one criterion under one condition.

    Shape: (networks, units + 1), in the order of the seeds.
    """
    found = []
    for job, record in sorted(records, key=lambda pair: pair[0].seed):
        if job.study.conditions.index(job.condition) != condition:
            continue
        for run in record["runs"]:
            if (run["criterion"], run["schedule"]) == (criterion, schedule):
                found.append(run["error"] if quantity == ERROR else run["metrics"][quantity])
    return np.array(found, dtype=float)


def panels(study: Study, figure: Figure, records: Records) -> list[list[Panel]]:
    """The rows of a figure; conditions without a record are left out."""
    rows = []
    for place, condition in enumerate(study.conditions):
        row = []
        for quantity in quantities(study):
            curves = [
                Curve(
                    LABELS.get(name, name),
                    found,
                    _papers(figure, PAPER.get(name, ""), quantity, _scale(study, records)),
                )
                for name in study.criteria
                if len(found := runs(records, place, figure.schedule, name, quantity))
            ]
            if curves:
                row.append(Panel(condition.label, NAMES[quantity], curves, log=quantity in (ERROR, HELD_OUT_ERROR)))
        if row:
            rows.append(row)
    return rows


def _scale(study: Study, records: Records) -> float:
    """What makes the paper's E, summed over its examples, a sum over as many as ours."""
    return records[0][1]["examples"]["rank"] / study.paper_examples if study.paper_examples else 1.0


def _papers(figure: Figure, method: str, quantity: str, scale: float) -> paper.Points:
    """The paper's curve: the training examples are what its accuracy is measured on, as far as can be told."""
    if quantity not in (ERROR, TRAINING):
        return ()
    points = paper.curve(figure.error if quantity == ERROR else figure.accuracy, method)
    return tuple((x, y * scale) for x, y in points) if quantity == ERROR else points


def to_csv(rows: Iterable[Iterable[Panel]]) -> str:
    """What a figure shows: a line a point. `curve` is mean, low or high (of the band), a network's number, or paper."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["condition", "quantity", "criterion", "curve", "removed", "value"])
    for row in rows:
        for panel in row:
            for curve in panel.curves:
                low, high = panel.band(curve)
                lines = {"mean": panel.middle(curve), "low": low, "high": high}
                lines |= {f"network {at}": run for at, run in enumerate(curve.runs)}
                points = [(name, x, float(y)) for name, values in lines.items() for x, y in enumerate(values)]
                points += [("paper", x, y) for x, y in curve.paper]
                head = panel.row, panel.quantity, curve.label
                table.writerows((*head, name, x, f"{y:.9g}") for name, x, y in points)
    return text.getvalue()


__all__ = ["BAND", "ERROR", "LABELS", "NAMES", "Records", "panels", "quantities", "runs", "to_csv"]
