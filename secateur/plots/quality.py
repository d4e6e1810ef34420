"""Error against the seconds of a pruning run, and beside it against the units removed: what the time buys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from secateur.errors import OptionError
from secateur.plots import style
from secateur.plots.curves import draw_line

MARKS = {0.25: "o", 0.5: "s", 0.75: "^"}
"""Shares of units removed that are marked, so that the eye finds a removal of one panel in the other."""
TALL = 1e-4
"""Of the largest error: what lies below would only stretch the axis."""
_CEILING: Mapping[str, Any] = MappingProxyType({"color": style.MUTED, "linewidth": 0.9, "linestyle": (0, (1, 2))})


@dataclass(frozen=True, slots=True)
class QualityLine:
    """One run: the seconds that had passed and the error after each removal, from the untouched network on; and how
    many units the network had (0 where unknown)."""

    label: str
    seconds: Sequence[float]
    errors: Sequence[float]
    units: int = 0


def draw_quality(lines: Sequence[QualityLine], *, ceiling: float | None = None, width: float = style.WIDE) -> Figure:
    """Draw the error of several runs against the seconds they took (left) and against the units removed (right).

    A dot ends each line, and hollow marks tell where a quarter, a half and three quarters of the units are gone:
    between two lines, compare marks of one shape. `ceiling` is an error to be marked: 5% of the best
    constant answer's.

    Shape: seconds and errors of one line have equal length, one entry for each removal and one before.
    Units: error is summed over the examples (lower is better); seconds of wall time, from the start of the run.
    Raises: OptionError: no lines, or lines of different length.

    >>> figure = draw_quality([QualityLine("oracle (exact)", [0.1, 0.2], [1.0, 2.0])])
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['seconds since the start', 'units removed']
    """
    if not lines or any(len(line.seconds) != len(line.errors) or not len(line.errors) for line in lines):
        raise OptionError("draw_quality needs at least one line, with as many errors as seconds (at least one).")
    with style.house_style():
        wide = width > 5.0
        labels = [style.short(line.label, 36) for line in lines]
        looks = style.criterion_styles([line.label for line in lines])
        handles = [draw_line(look, [], []) for look in looks]
        for share, marker in MARKS.items():
            if any(line.units and len(line.errors) > share * line.units for line in lines):
                handles.append(Line2D([], [], linestyle="", **_mark(marker, style.MUTED)))
                labels.append(f"{100 * share:g}% of the units removed")
        if ceiling is not None:
            handles.append(Line2D([], [], **_CEILING))
            labels.append("5% of the best constant answer's error")
        columns = 3 if wide else 1
        figure = style.new_figure(width, (2.75 if wide else 5.0) + 0.17 * math.ceil(len(labels) / columns))
        by_time, by_units = figure.subplots(1 if wide else 2, 2 if wide else 1)
        errors = [error for line in lines for error in line.errors]
        for line, look in zip(lines, looks, strict=True):
            for axes, xs in ((by_time, line.seconds), (by_units, range(len(line.errors)))):
                drawn = draw_line(look, list(xs), list(line.errors))
                drawn.set_drawstyle("steps-post")  # an error stands until the next removal
                axes.add_line(drawn)
                axes.plot(xs[-1], line.errors[-1], "o", color=look.color, markersize=4, zorder=look.order + 3)
                for share, marker in MARKS.items():
                    at = math.ceil(share * line.units)
                    if 0 < at < len(line.errors):
                        axes.plot(xs[at], line.errors[at], zorder=look.order + 3, **_mark(marker, look.color))
        seconds = [second for line in lines for second in line.seconds if second > 0]
        by_time.set_xscale("log")
        for axes in (by_time, by_units):
            axes.autoscale_view()
            scale = style.error_scale(axes, errors, log=True)
            if ceiling is not None:
                axes.axhline(ceiling, zorder=2, **_CEILING)
            if min(errors) < TALL * max(errors):
                axes.set_ylim(bottom=TALL * max(errors))
            axes.set_ylabel("error, summed over examples" + (f"\n({scale})" if scale else ""))
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        by_time.set_xlabel("seconds since the start")
        by_units.set_xlabel("units removed")
        style.whole_ticks(by_units.xaxis, 6)
        narrow = seconds and max(seconds) < 30 * min(seconds)
        by_time.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
        by_time.xaxis.set_minor_locator(NullLocator() if narrow else LogLocator(subs=range(2, 10)))
        by_time.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.number(float(value))))
        by_time.xaxis.set_minor_formatter(NullFormatter())
        style.legend(figure, handles, labels, columns)
    return figure


def _mark(marker: str, color: str) -> dict[str, Any]:
    return {
        "marker": marker,
        "markersize": 6,
        "markerfacecolor": "none",
        "markeredgewidth": 1.3,
        "markeredgecolor": color,
    }
