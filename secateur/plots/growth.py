"""Seconds against examples or units, on logarithmic axes: a line for each way of scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from secateur.errors import OptionError
from secateur.plots import style
from secateur.plots.curves import draw_line


@dataclass(frozen=True, slots=True)
class GrowthLine:
    """The seconds of one way at each size: median, least and greatest; and the exponent that fits them."""

    label: str
    sizes: Sequence[float]
    seconds: Sequence[float]
    least: Sequence[float] = ()
    greatest: Sequence[float] = ()
    exponent: float | None = None


def draw_growth(lines: Sequence[GrowthLine], *, of: str = "examples", width: float = style.WIDE) -> Figure:
    """Draw the seconds of one round against the size, with a grey line that grows as the size does.

    A bar at each point reaches from the least to the greatest measured. Sizes are the ticks.

    Shape: sizes and seconds of one line have equal length.
    Units: seconds of wall time; `of` says what the sizes count.
    Raises: OptionError: no lines, lines of different length, or numbers that are not above 0.

    >>> figure = draw_growth([GrowthLine("oracle (exact)", [10, 100], [0.1, 1.0])])
    >>> figure.axes[0].get_xscale(), figure.axes[0].get_xlabel()
    ('log', 'examples')
    """
    if not lines or any(len(line.sizes) != len(line.seconds) or not len(line.sizes) for line in lines):
        raise OptionError("draw_growth needs at least one line, with as many seconds as sizes (at least one).")
    if any(not value > 0 for line in lines for value in (*line.sizes, *line.seconds)):
        raise OptionError("draw_growth has logarithmic axes: sizes and seconds must be above 0.")
    with style.house_style():
        labels = [_label(line) for line in lines] + ["linear growth"]
        columns = 3 if width > 5.0 else 2
        figure = style.new_figure(width, 2.9 + 0.17 * math.ceil(len(labels) / columns))
        axes = figure.subplots()
        looks = style.criterion_styles([line.label for line in lines])
        for line, look in zip(lines, looks, strict=True):
            drawn = draw_line(look, line.sizes, line.seconds)
            drawn.set(marker="o", markersize=3.5)
            axes.add_line(drawn)
            if line.least and line.greatest:
                axes.vlines(line.sizes, line.least, line.greatest, color=look.color, linewidth=0.8, zorder=look.order)
        axes.set_xscale("log")
        everything = [value for line in lines for value in (*line.seconds, *line.least, *line.greatest)]
        scale = style.error_scale(axes, everything, log=True)
        sizes = sorted({size for line in lines for size in line.sizes})
        axes.update_datalim([(sizes[0], min(everything)), (sizes[-1], max(everything))])
        axes.autoscale_view()
        low, high = axes.get_ylim()
        start = lines[0].seconds[0] / lines[0].sizes[0]
        axes.plot(
            sizes, [start * size for size in sizes], color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1
        )
        axes.set_ylim(low, high)
        axes.xaxis.set_major_locator(FixedLocator(sizes))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel(of)
        axes.set_ylabel("seconds of one round" + (f"\n({scale})" if scale else ""))
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        handles = [draw_line(look, [], []) for look in looks]
        handles.append(Line2D([], [], color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2))))
        style.legend(figure, handles, labels, columns)
    return figure


def _label(line: GrowthLine) -> str:
    return style.short(line.label, 40) + ("" if line.exponent is None else f", exponent {line.exponent:.2f}")
