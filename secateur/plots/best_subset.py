"""The true optimum at every size, and how far from it those who choose one unit at a time end up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from secateur.errors import OptionError
from secateur.plots import style


def draw_best_subset(
    optimum: Sequence[float], curves: Mapping[str, Sequence[float]], *, width: float = style.WIDE
) -> Figure:
    """Draw the least error that any set of m units leaves, beside what others reach; and how much more theirs is.

    optimum[m] = min E(g) over all g with m units off. On the right, E - optimum as a share of the optimum.

    Shape: optimum (n + 1,); each curve as long, or shorter: errors after 0, 1, 2, ... removals.
    Units: error summed over examples (lower is better).
    Raises: OptionError: no optimum, or a curve that is longer or empty.

    >>> figure = draw_best_subset([1.0, 1.5, 4.0], {"oracle": [1.0, 1.5, 4.0], "taylor1": [1.0, 3.0]})
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['best subset', 'oracle', 'taylor1']
    """
    if not len(optimum) or any(not 0 < len(curve) <= len(optimum) for curve in curves.values()):
        raise OptionError("draw_best_subset needs an optimum, and curves that are no longer than it; got others.")
    styles = style.criterion_styles(list(curves))
    with style.house_style():
        wide = width > 5.0
        figure = style.new_figure(width, 3.0 if wide else 5.2)
        left, right = figure.subplots(1 if wide else 2, 2 if wide else 1)
        best = style.LineStyle(style.CUT, (), 1.6, 6.0)
        _line(left, optimum, best, marker=True)
        above = [_above(curve, optimum) for curve in curves.values()]
        for curve, more, line in zip(curves.values(), above, styles, strict=True):
            _line(left, curve, line)
            _line(right, [100 * value for value in more], line)
        right.axhline(0.0, color=best.color, linewidth=best.width, zorder=1)
        every = [*optimum, *(value for curve in curves.values() for value in curve)]
        scale = style.error_scale(left, every, log=True)
        left.set_ylabel(f"error, summed over examples{f' ({scale})' if scale else ''}")
        right.set_yscale("symlog", linthresh=1.0)
        right.set_ylabel("above the optimum, % (log scale above 1)")
        highest = max([2.0, *(100 * value for more in above for value in more)])
        ticks = [0.0, *(10.0**power for power in range(math.floor(math.log10(highest)) + 1))]
        right.set_yticks(ticks, labels=[style.number(tick) for tick in ticks])
        right.yaxis.set_minor_locator(NullLocator())
        right.set_ylim(-0.3, 1.5 * highest)
        for axes in (left, right):
            axes.set_xlabel("units removed")
            axes.set_xlim(0, max(1, len(optimum) - 1))
            style.whole_ticks(axes.xaxis)
            axes.grid(axis="y")
        handles = [_handle(one) for one in (best, *styles)]
        style.legend(figure, handles, ["best subset", *curves], 5 if wide else 2)
    return figure


def _above(curve: Sequence[float], optimum: Sequence[float]) -> list[float]:
    """(E - optimum) / |optimum|; 0 where both are 0, and where an optimum of 0 has nothing to be compared with."""
    return [(value - least) / abs(least) if least else 0.0 for value, least in zip(curve, optimum, strict=False)]


def _line(axes: Axes, values: Sequence[float], line: style.LineStyle, marker: bool = False) -> None:
    axes.plot(
        np.arange(len(values)),
        np.asarray(values, dtype=float),
        color=line.color,
        linewidth=line.width,
        dashes=line.dashes or (None, None),
        zorder=line.order,
        marker="o" if marker else None,
        markersize=2.6,
    )


def _handle(line: style.LineStyle) -> Line2D:
    return Line2D([], [], color=line.color, linewidth=line.width, dashes=line.dashes or (None, None))
