"""Fidelity: what a criterion estimates against what is true, one panel a state, with the calibration line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from secateur.analysis import Fidelity, StateFidelity
from secateur.errors import OptionError
from secateur.plots import style

MOST_PANELS = 4


def draw_fidelity(found: Fidelity, *, width: float = style.WIDE) -> Figure:
    """Draw the true change of error of every unit against the one that a criterion estimates.

    A dot is a unit; the dashed line is where both agree, the full one the least-squares line. A ring marks the unit
    that the criterion would remove. Of more than four states, four evenly spread.

    Shape: of each state estimated and true (n,).
    Units: change of the error, summed over examples; importances of another library in their own.
    Raises: OptionError: no states.
    Source: PAPER.md, claim 2: criteria that estimate well may choose badly.

    >>> import torch
    >>> alive, scores = torch.tensor([0, 1]), torch.tensor([1.0, 3.0], dtype=torch.float64)
    >>> state = StateFidelity(alive, scores, scores, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0)
    >>> draw_fidelity(Fidelity("taylor1", 2, 10.0, (state,))).axes[0].get_title(loc="left")
    'all 2 units on'
    """
    criterion, units, states = found.criterion, found.units, found.states
    if not states:
        raise OptionError("draw_fidelity needs at least one state; got none.")
    places = np.linspace(0, len(states) - 1, min(len(states), MOST_PANELS)).round().astype(int)
    with style.house_style():
        columns = len(places) if width > 5.0 else min(2, len(places))
        rows = math.ceil(len(places) / columns)
        figure = style.new_figure(width, 0.55 + rows * (width / columns * 0.95 if columns > 1 else 3.2))
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, place in zip(panels, places, strict=False):
            _panel(axes, states[place], units)
        for axes in panels[len(places) :]:
            axes.set_axis_off()
        figure.supxlabel(f"change of error that {style.short(criterion)} estimates", fontsize=8)
        figure.supylabel("true change of error", fontsize=8)
        handles = [
            Line2D([], [], linestyle="", marker="o", markersize=3.5, color=style.LEAF),
            Line2D([], [], color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 2))),
            Line2D([], [], color=style.CUT, linewidth=1.2),
            Line2D([], [], linestyle="", **_RING),
        ]
        style.legend(figure, handles, ["a unit", "as estimated", "calibration line", "the criterion's choice"], 4)
    return figure


_RING: dict[str, Any] = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgecolor": style.CUT}


def _panel(axes: Axes, state: StateFidelity, units: int) -> None:
    x, y = np.asarray(state.estimated, dtype=float), np.asarray(state.true, dtype=float)
    known = ~np.isnan(x)
    x, y = x[known], y[known]
    axes.plot(x, y, linestyle="", marker="o", markersize=3, color=style.LEAF, alpha=0.7, zorder=3)
    if len(x):
        first = int(x.argmin())
        axes.plot(x[first], y[first], linestyle="", zorder=4, **_RING)
    axes.margins(0.08)
    axes.autoscale_view()
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    ends = np.array([left, right])
    axes.plot(ends, ends, color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=2, scalex=False, scaley=False)
    if math.isfinite(state.slope):
        line = state.intercept + state.slope * ends
        axes.plot(ends, line, color=style.CUT, linewidth=1.2, zorder=2, scalex=False, scaley=False)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    style.round_ticks(axes.xaxis, 3)
    style.round_ticks(axes.yaxis, 4)
    off = units - len(state.alive)
    axes.set_title(f"{off:,} of {units:,} units off" if off else f"all {units:,} units on")
    told = f"slope {state.slope:.2g}\nτ {state.kendall:.2f}\nregret {state.regret:.2g} S"
    axes.text(0.04, 0.97, told, transform=axes.transAxes, va="top", fontsize=7, color=style.MUTED)
    axes.grid(True)
    axes.set_axisbelow(True)
