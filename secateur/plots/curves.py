"""Error and metrics against the units removed: several runs, or criteria, in one figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from secateur.errors import OptionError
from secateur.plots import style
from secateur.trace import Step

BUCKETS = 120


@dataclass(frozen=True, slots=True)
class Run:
    """One line of the figure: a label that begins with the criterion's name, the steps, how many units the network had
    (0 where unknown), and the step that is the result (None for no mark)."""

    label: str
    steps: Sequence[Step]
    units: int = 0
    result_step: int | None = None


def draw_curves(
    runs: Sequence[Run],
    *,
    metrics: Sequence[str] | None = None,
    error: bool = True,
    log: bool = True,
    width: float = style.WIDE,
) -> Figure:
    """Draw the error, and a panel for each metric, against the units removed; a ring marks the result of each run.

    Panels stand side by side, or below each other where the figure is narrow. Where all runs share one number of units
    a second axis tells the share removed; where they differ, the share is the axis.

    `metrics` names the panels (None: the first two metrics that any run has); `log` puts the error on a logarithmic
    axis, linear near 0 where an error is 0; `width` is in inches.

    Shape: one line for each run in each panel; steps with a missing or non-finite value leave a gap.
    Units: error is summed over the examples (lower is better); metrics are as measured; x counts removed units.
    Raises: OptionError: no runs, a run without steps, or nothing to draw.

    >>> steps = [Step(0, None, 1.0, 0.0, {"accuracy": 0.9}), Step(1, "fc1:7", 1.5, 0.4, {"accuracy": 0.8})]
    >>> [axes.get_ylabel() for axes in draw_curves([Run("oracle", steps, units=10, result_step=1)], log=False).axes]
    ['error, summed over examples', 'accuracy']
    """
    if not runs or any(not run.steps for run in runs):
        raise OptionError("draw_curves needs at least one run, and at least step 0 in each; got an empty one.")
    if metrics is None:
        metrics = list(dict.fromkeys(name for run in runs for step in run.steps for name in step.metrics))[:2]
    names = ([""] if error else []) + list(metrics)
    if not names:
        raise OptionError("nothing to draw: error=False and no metric was recorded. Ask for error=True.")
    known = {run.units for run in runs}
    by_share = len(known) > 1 and 0 not in known

    with style.house_style():
        wide = width > 5.0
        rows, columns = (1, len(names)) if wide else (len(names), 1)
        height = (2.75 if wide else 2.25 * len(names) + 0.1) + 0.17 * math.ceil((len(runs) + 1) / (5 if wide else 2))
        figure = style.new_figure(width, height)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        styles = style.criterion_styles([run.label for run in runs])
        last = max(run.steps[-1].step for run in runs)
        ticks = 4 if wide and len(names) > 2 else 6
        for axes, name in zip(panels, names, strict=True):
            draw_panel(axes, runs, styles, name, by_share, log, ticks)
            if len(known) == 1 and 0 not in known and last:
                _share_axis(axes, runs[0].units, ticks, label=wide or axes is panels[0])
        handles = [draw_line(s, [], []) for s in styles]
        labels = [style.short(run.label, 36) for run in runs]
        if any(run.result_step is not None for run in runs):
            handles.append(Line2D([], [], linestyle="", **_ring(style.MUTED)))
            labels.append(_result_label(runs))
        if len(labels) > 1 or len(runs) > 1:
            style.legend(figure, handles, labels, columns=5 if wide else 2)
    return figure


def draw_panel(
    axes: Axes,
    runs: Sequence[Run],
    styles: Sequence[style.LineStyle],
    name: str,
    by_share: bool = False,
    log: bool = True,
    ticks: int = 6,
) -> None:
    """One panel: the error (name "") or a metric of several runs, each in its own look."""
    everything: list[float] = []
    for run, look in zip(runs, styles, strict=True):
        scale = 100.0 / run.units if by_share else 1.0
        xs = [step.step * scale for step in run.steps]
        ys = [_value(step, name) for step in run.steps]
        everything += ys
        axes.add_line(draw_line(look, *_thin(xs, ys), alone=sum(map(math.isfinite, ys)) == 1))
        mark = [(x, y) for x, y, step in zip(xs, ys, run.steps, strict=True) if step.step == run.result_step]
        if mark and math.isfinite(mark[0][1]):
            axes.plot(*mark[0], linestyle="", zorder=look.order + 3, **_ring(look.color))
    axes.autoscale_view()
    finite = [y for y in everything if math.isfinite(y)]
    if name:
        axes.set_ylabel(style.short(name))
        style.round_ticks(axes.yaxis)
    else:
        scale_name = style.error_scale(axes, everything, log)
        axes.set_ylabel("error, summed over examples" + (f"\n({scale_name})" if scale_name else ""))
    if finite and min(finite) == max(finite):
        room = abs(finite[0]) * 0.05 or 1.0
        axes.set_ylim(finite[0] - room, finite[0] + room)
    elif not finite:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no value recorded", transform=axes.transAxes, ha="center", va="center", color=style.MUTED)
    last = max(run.steps[-1].step * (100.0 / run.units if by_share else 1.0) for run in runs)
    axes.set_xlim(-0.02 * (last or 1), (last or 1) * 1.02)
    style.whole_ticks(axes.xaxis, ticks)
    if by_share:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
    axes.set_xlabel("share of units removed" if by_share else "units removed")
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _thin(xs: Sequence[float], ys: Sequence[float]) -> tuple[list[float], list[float]]:
    """Of a long line, the first, lowest, highest and last point of each of BUCKETS parts: it looks the same."""
    if len(xs) <= 4 * BUCKETS:
        return list(xs), list(ys)
    keep: set[int] = set()
    for part in range(BUCKETS):
        inside = range(part * len(xs) // BUCKETS, (part + 1) * len(xs) // BUCKETS)
        keep |= {inside[0], inside[-1]}
        finite = [i for i in inside if math.isfinite(ys[i])]
        if finite:
            keep |= {min(finite, key=ys.__getitem__), max(finite, key=ys.__getitem__)}
        keep |= {i for i in inside if not math.isfinite(ys[i])} if len(finite) < len(inside) else set()
    chosen = sorted(keep)
    return [xs[i] for i in chosen], [ys[i] for i in chosen]


def _value(step: Step, name: str) -> float:
    value = step.metrics.get(name, math.nan) if name else step.error
    return float(value) if value is not None and math.isfinite(value) else math.nan


def draw_line(look: style.LineStyle, xs: Sequence[float], ys: Sequence[float], alone: bool = False) -> Line2D:
    line = Line2D(
        xs,
        ys,
        color=look.color,
        linewidth=look.width,
        zorder=look.order,
        solid_joinstyle="round",
        dash_capstyle="round" if look.dashes and look.dashes[0] < 2 else "butt",
        marker="o" if alone else "",
        markersize=4,
    )
    if look.dashes:
        line.set_linestyle((0, look.dashes))
    return line


def _ring(color: str) -> dict[str, Any]:
    return {
        "marker": "o",
        "markersize": 6.5,
        "markerfacecolor": "none",
        "markeredgewidth": 1.6,
        "markeredgecolor": color,
    }


def _result_label(runs: Sequence[Run]) -> str:
    return f"result: {runs[0].result_step:,} removed" if len(runs) == 1 else "result"


def _share_axis(axes: Axes, units: int, ticks: int, label: bool) -> None:
    def share(x: Any) -> Any:
        return x * 100.0 / units

    def count(x: Any) -> Any:
        return x * units / 100.0

    top = axes.secondary_xaxis("top", functions=(share, count))
    top.xaxis.set_major_locator(MaxNLocator(nbins=ticks, steps=[1, 2, 2.5, 5, 10]))
    top.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    top.tick_params(axis="x", length=2, pad=1, labelsize=7)
    top.spines["top"].set_visible(False)
    if label:
        top.set_xlabel(f"share of {units:,} units", fontsize=7, color=style.MUTED, labelpad=3)
