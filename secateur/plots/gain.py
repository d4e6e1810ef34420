"""Gain curves: the error while one unit's contribution is multiplied by a, in log and in real space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from secateur.errors import OptionError
from secateur.plots import style

MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class GainLine:
    """One gain curve: E(1 + (a - 1) e_u) of unit u at each gain a, and how many units were off already."""

    unit: str
    gains: Sequence[float] | np.ndarray
    errors: Sequence[float] | np.ndarray
    step: int | None = None


def draw_gains(lines: Sequence[GainLine], *, width: float = style.WIDE) -> Figure:
    """Draw E against the gain a of single units, on a logarithmic and on a linear axis, with a line at a = 1.

    E(1 + (a - 1) e_u) for a in [0, 10]; a = 0 is the unit switched off, a = 1 the network as it is.

    Shape: gains and errors of one line have equal length. At most ten units are drawn; of more, ten evenly spread.
    Units: error summed over the examples (lower is better); the gain has none.
    Raises: OptionError: no lines, or gains and errors of different length.
    Source: arXiv 1701.04465, figures *-gt-gain.

    >>> figure = draw_gains([GainLine("fc1:7", [0.0, 1.0, 2.0], [1.5, 1.0, 1.5], step=10)])
    >>> [axes.get_yscale() for axes in figure.axes]
    ['log', 'linear']
    """
    if not lines or any(len(line.gains) != len(line.errors) or not len(line.gains) for line in lines):
        raise OptionError("draw_gains needs at least one line, with as many errors as gains (at least one).")
    most = len(style.ORDINAL)
    chosen = list(lines)
    if len(lines) > most:
        chosen = [lines[round(i * (len(lines) - 1) / (most - 1))] for i in range(most)]

    with style.house_style():
        wide = width > 5.0
        labels = [style.short(line.unit) if line.step is None else f"step {line.step:,} · {style.short(line.unit)}"
                  for line in chosen]  # fmt: skip
        columns = max(1, min(5, int(width / (0.62 + 0.066 * max(map(len, labels))))))
        rows = math.ceil(len(chosen) / columns)
        height = (2.5 if wide else 4.5) + 0.16 * rows
        figure = style.new_figure(width, height)
        log, real = figure.subplots(1 if wide else 2, 2 if wide else 1)
        places = np.linspace(0, most - 1, len(chosen)).round().astype(int) if len(chosen) > 1 else [1]
        colors = [style.ORDINAL[i] for i in places]
        _panel(log, chosen, colors, logarithmic=True)
        _panel(real, chosen, colors, logarithmic=False)
        handles = [Line2D([], [], color=color, linewidth=1.6) for color in colors]
        style.legend(figure, handles, labels, columns)
    return figure


def _panel(axes: Axes, lines: Sequence[GainLine], colors: Sequence[str], logarithmic: bool) -> None:
    everything: list[float] = []
    last = 1.0
    for line, color in zip(lines, colors, strict=True):
        gains, errors = _thin(line)
        everything += errors.tolist()
        last = max(last, float(gains.max()))
        marker = "o" if len(gains) == 1 else ""
        axes.add_line(Line2D(gains, errors, color=color, linewidth=1.3, marker=marker, zorder=3))
    axes.autoscale_view()
    scale = style.error_scale(axes, everything, log=logarithmic)
    axes.axvline(1.0, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=2)
    axes.set_ylabel("error, summed over examples" + (f"\n({scale})" if scale else ""))
    axes.set_xlabel("gain a of the unit  (0 off, 1 as it is)")
    axes.set_xlim(-0.02 * last, 1.02 * last)
    style.round_ticks(axes.xaxis, 6)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _thin(line: GainLine) -> tuple[np.ndarray, np.ndarray]:
    gains, errors = np.asarray(line.gains, dtype=float), np.asarray(line.errors, dtype=float)
    errors = np.where(np.isfinite(errors), errors, np.nan)
    if len(gains) <= MOST_POINTS:
        return gains, errors
    even = np.linspace(0, len(gains) - 1, MOST_POINTS).round().astype(int)
    keep = np.unique(np.append(even, np.abs(gains - 1).argmin()))  # the line at a = 1 must meet the curve
    return gains[keep], errors[keep]
