"""A study: criteria over several trained networks, as a mean with a band, and the paper's curve over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from secateur.errors import OptionError
from secateur.plots import style

BAND = (10.0, 90.0)
"""Percentiles over the networks between which the band lies."""
DASHES = (3.5, 1.4)
# So that a print in grey tells the criteria apart, dashes being the paper's.
MARKERS = ("", "^", "s", "o", "D", "v", "P", "X", "<", ">")


@dataclass(frozen=True, slots=True)
class Curve:
    """One criterion in one panel: `runs` has a row for each network, from 0 units removed on; `paper` is (removed,
    value)."""

    label: str
    runs: np.ndarray
    paper: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity of one condition against the units removed."""

    row: str
    quantity: str
    curves: Sequence[Curve]
    log: bool = False

    def middle(self, curve: Curve) -> np.ndarray:
        """The mean over the networks; on a logarithmic axis the geometric one, where all values allow it."""
        if self.log and bool((curve.runs > 0).all()):
            return np.exp(np.log(curve.runs).mean(0))
        return curve.runs.mean(0)

    def band(self, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
        """The two percentiles over the networks."""
        low, high = np.percentile(curve.runs, BAND, axis=0)
        return low, high


def draw_study(rows: Sequence[Sequence[Panel]], *, title: str, subtitle: str = "", width: float = style.WIDE) -> Figure:
    """Draw each quantity against the units removed: a line a criterion, the mean over networks; a band; single
    networks faint; and the paper's curve dashed over it.

    Shape: a row of panels for each condition, all rows with the same quantities.
    Units: x counts removed units; quantities are as measured.
    Raises: OptionError: no panels, or a curve without networks.

    >>> panel = Panel("zero", "error", [Curve("oracle", np.array([[1.0, 2.0], [1.0, 4.0]]), [(1, 3.0)])], log=True)
    >>> draw_study([[panel]], title="A study").axes[0].get_ylabel()
    'error (log scale)'
    """
    panels = [panel for row in rows for panel in row]
    if not panels or any(curve.runs.ndim != 2 or not len(curve.runs) for panel in panels for curve in panel.curves):
        raise OptionError("draw_study needs one panel or more, and curves with a row for each network.")
    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    looks = dict(zip(labels, style.criterion_styles(labels), strict=True))
    marks = {label: MARKERS[at % len(MARKERS)] for at, label in enumerate(labels)}
    networks = sorted({len(curve.runs) for panel in panels for curve in panel.curves})
    with style.house_style():
        columns = max(map(len, rows))
        tall = 2.35 if len(rows) < 3 else 1.85
        figure = style.new_figure(width, tall * len(rows) + 0.9)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes_row, row in zip(grid, rows, strict=True):
            for axes, panel in zip(axes_row, row, strict=False):
                _panel(axes, panel, looks, marks)
            if len(rows) > 1:
                axes_row[0].set_title(row[0].row, fontweight="bold")
        count = " to ".join(str(n) for n in dict.fromkeys((networks[0], networks[-1])))
        count = f"{count} network{'s' * (networks[-1] > 1)}"
        figure.suptitle(f"{title}\n{count}{subtitle}", x=0.012, ha="left", fontsize=9, fontweight="bold")
        handles, names = _legend(labels, looks, marks, panels, networks[-1])
        figure.legend(handles, names, loc="outside lower left", ncols=4, columnspacing=1.4, handlelength=2.2)
    return figure


def _panel(axes: Axes, panel: Panel, looks: dict[str, style.LineStyle], marks: dict[str, str]) -> None:
    everything: list[float] = []
    last = 0
    for at, curve in enumerate(panel.curves):
        look, x = looks[curve.label], np.arange(curve.runs.shape[1])
        last = max(last, len(x) - 1)
        everything += curve.runs.ravel().tolist()
        if len(curve.runs) > 1:
            axes.fill_between(x, *panel.band(curve), color=look.color, alpha=0.16, linewidth=0, zorder=look.order - 2)
            faint = min(0.22, 2 / len(curve.runs))  # of fifty networks the single ones must not hide the rest
            for run in curve.runs:
                axes.plot(x, run, color=look.color, alpha=faint, linewidth=0.4, zorder=look.order - 1)
        every = max(1, len(x) // 6)
        axes.plot(
            x,
            panel.middle(curve),
            color=look.color,
            linewidth=look.width * 0.8,
            zorder=look.order + 1,
            marker=marks[curve.label],
            markersize=3.2,
            markevery=(at * every // max(1, len(panel.curves)), every),
            gid=curve.label,
        )
        shown = [(x, y) for x, y in curve.paper if y > 0 or not panel.log]
        if shown:
            everything += [y for _, y in shown]
            line = axes.plot(*zip(*shown, strict=True), color=look.color, linewidth=1.1, zorder=look.order + 2)[0]
            line.set_linestyle((0, DASHES))
            line.set_gid(f"{curve.label}, the paper")
    finite = [value for value in everything if math.isfinite(value)]
    scale = style.error_scale(axes, finite, log=True) if panel.log else ""
    if not panel.log:
        style.round_ticks(axes.yaxis)
    axes.set_ylabel(panel.quantity + (f" ({scale})" if scale else ""))
    axes.set_xlabel("units removed")
    axes.set_xlim(-0.02 * (last or 1), 1.02 * (last or 1))
    style.whole_ticks(axes.xaxis, 6)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _legend(
    labels: Sequence[str],
    looks: dict[str, style.LineStyle],
    marks: dict[str, str],
    panels: Sequence[Panel],
    networks: int,
) -> tuple[list[Line2D | Patch], list[str]]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [], [], color=looks[label].color, linewidth=looks[label].width * 0.8, marker=marks[label], markersize=3.2
        )
        for label in labels
    ]
    names = list(labels)
    if any(curve.paper for panel in panels for curve in panel.curves):
        handles.append(Line2D([], [], color=style.MUTED, linewidth=1.1, linestyle=(0, DASHES)))
        names.append("the paper's curves")
    if networks > 1:
        handles.append(Patch(color=style.MUTED, alpha=0.3, linewidth=0))
        names.append(f"mean, {BAND[0]:g}th–{BAND[1]:g}th percentile")
    return handles, names
