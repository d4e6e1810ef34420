"""From records to files: every figure as PDF, SVG and PNG with its numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from secateur.plots import GainLine, draw_gains, save
from secateur.plots.study import draw_study
from secateur.studies import tables
from secateur.studies.plan import ITERATIVE, TITLES, Figure, Study
from secateur.studies.store import write_text
from secateur.studies.tables import Records

SUFFIXES = ("png", "svg", "pdf")


def draw(study: Study, records: Records, folder: Path, wanted: Sequence[str]) -> list[Path]:
    """Draw the figures of a study whose names are wanted, from its records; the CSV of each."""
    made = []
    for figure in study.figures:
        if figure.name not in wanted:
            continue
        rows = tables.panels(study, figure, records)
        if rows:
            picture = draw_study(rows, title=study.title, subtitle=f", {_ranked(records, figure)}")
            for suffix in SUFFIXES:
                save(picture, folder / f"{figure.name}.{suffix}")
            made.append(folder / f"{figure.name}.csv")
            write_text(made[-1], tables.to_csv(rows))
    for criterion, name in study.gains.items():
        if name in wanted and (path := _gains(study, records, criterion, folder / name)):
            made.append(path)
    return made


def _ranked(records: Records, figure: Figure) -> str:
    """How often the units were ranked, in words."""
    job = records[0][0]
    every = job.study.effort(job.full).rerank_every
    return (
        f"ranked again after every {every} removals"
        if figure.schedule == ITERATIVE and every > 1
        else TITLES[figure.schedule]
    )


def _gains(study: Study, records: Records, criterion: str, path: Path) -> Path | None:
    """The gain curves of one criterion's choices in the first network: curves of several are of different units."""
    curves = [
        curve
        for job, record in records
        if job.seed == 0 and job.condition == study.conditions[0]
        for curve in record["gains"]
        if curve["criterion"] == criterion
    ]
    if not curves:
        return None
    picture = draw_gains([GainLine(c["unit"], c["gains"], c["errors"], c["step"]) for c in curves])
    title = f"{study.title}\nunits chosen by {tables.LABELS.get(criterion, criterion)}"
    picture.axes[0].set_title(title, loc="left", fontsize=9, fontweight="bold")
    for suffix in SUFFIXES:
        save(picture, path.with_name(f"{path.name}.{suffix}"))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["step", "unit", "gain", "error"])
    for curve in curves:
        points = zip(curve["gains"], curve["errors"], strict=True)
        table.writerows((curve["step"], curve["unit"], f"{gain:g}", f"{error:.9g}") for gain, error in points)
    write_text(path.with_name(f"{path.name}.csv"), text.getvalue())
    return path.with_name(f"{path.name}.csv")
