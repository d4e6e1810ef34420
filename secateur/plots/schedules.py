"""Criteria compared under several schedules: a row of panels for each schedule, one legend for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from secateur.errors import OptionError
from secateur.plots import style
from secateur.plots.curves import Run, draw_line, draw_panel


def draw_schedules(
    rows: Mapping[str, Sequence[Run]], metrics: Mapping[str, str], *, width: float = style.WIDE
) -> Figure:
    """Draw the error and some metrics against the units removed, a row for each schedule and a line for each criterion.

    `rows` are titled by their keys; `metrics` maps the name of each metric to the label of its axis.

    Shape: 1 + len(metrics) panels a row; the panels of a column share their scale.
    Units: error is summed over the examples (lower is better); metrics are as measured; x counts removed units.
    Raises: OptionError: no row, or one without runs or steps.

    >>> from secateur.trace import Step
    >>> runs = [Run("oracle", [Step(0, None, 1.0, 0.0, {"accuracy": 0.9})], units=10)]
    >>> figure = draw_schedules({"ranked once": runs}, {"accuracy": "accuracy, held out"})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['error, summed over examples', 'accuracy, held out']
    """
    everything = [run for runs in rows.values() for run in runs]
    if not rows or not all(rows.values()) or not all(run.steps for run in everything):
        raise OptionError("draw_schedules needs one row or more, with a run and its step 0 in each; got an empty one.")
    labels = list(dict.fromkeys(run.label for run in everything))
    looks = dict(zip(labels, style.criterion_styles(labels), strict=True))
    with style.house_style():
        height = 2.3 * len(rows) + 0.17 * math.ceil(len(labels) / 6)
        figure = style.new_figure(width, height)
        panels = figure.subplots(len(rows), 1 + len(metrics), sharey="col", squeeze=False)
        for row, (title, runs) in zip(panels, rows.items(), strict=True):
            for axes, (name, label) in zip(row, {"": "", **metrics}.items(), strict=True):
                draw_panel(axes, runs, [looks[run.label] for run in runs], name, ticks=4)
                axes.yaxis.set_tick_params(labelleft=True)
                if name:
                    axes.set_ylabel(label)
                if len({run.units for run in runs}) == 1 and runs[0].units:
                    axes.set_xlabel(f"units removed, of {runs[0].units:,}")
            row[0].set_title(title, pad=8, fontweight="bold")
        style.legend(figure, [draw_line(look, [], []) for look in looks.values()], labels, columns=6)
    return figure
