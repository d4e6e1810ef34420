"""Fault tolerance: error and accuracy while units fail, in random orders, the worst first and the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from secateur.analysis import FaultTolerance
from secateur.errors import OptionError
from secateur.plots import style

LOOKS = {
    "random": style.CRITERIA["taylor2"],
    "worst first": style.CRITERIA["taylor1"],
    "best first": style.CRITERIA["oracle"],
}
MOST_CLASSES = len(style.ORDINAL)


def draw_fault_tolerance(found: FaultTolerance, *, share: float = 0.9, width: float = style.WIDE) -> Figure:
    """Draw error and accuracy against the units removed, by order: a line each, and a band for the random ones.

    The band holds the middle `share` of the random orders, the line in it is their median. Where the data has classes,
    a panel has the median accuracy of each (of more than ten, ten evenly spread); where it has none, there is the error
    alone.

    Units: error is summed over the examples; accuracy from 0 to 1.
    Raises: OptionError: a share outside (0, 1].
    Source: PAPER.md, claim 10.

    >>> import torch
    >>> from secateur.analysis import RemovalCurves
    >>> curves = RemovalCurves(
    ...     torch.tensor([[0]]), *(torch.rand(1, 2).double(),) * 2, *(torch.rand(1, 2, 3).double(),) * 2
    ... )
    >>> figure = draw_fault_tolerance(FaultTolerance(torch.tensor([0, 1]), curves, curves, curves))
    >>> [axes.get_ylabel().split(",")[0] for axes in figure.axes]
    ['error', 'accuracy', 'median accuracy by class']
    """
    if not 0 < share <= 1:
        raise OptionError(f"draw_fault_tolerance got share={share!r}; expected a number above 0 and at most 1.")
    x = found.removed.double().numpy()
    orders = dict(zip(LOOKS, (found.random, found.worst_first, found.best_first), strict=True))
    panels = [("error, summed over examples", {name: curves.error.numpy() for name, curves in orders.items()})]
    if bool(found.random.accuracy.isfinite().any()):
        panels.append(("accuracy", {name: curves.accuracy.numpy() for name, curves in orders.items()}))
    classes = found.random.class_accuracy.numpy() if found.random.class_accuracy.numel() else None
    with style.house_style():
        count, wide = len(panels) + (classes is not None), width > 5.0
        figure = style.new_figure(width, 2.7 if wide else 2.2 * count + 0.3)
        all_axes = figure.subplots(1 if wide else count, count if wide else 1, squeeze=False).ravel()
        for axes, (label, curves) in zip(all_axes, panels, strict=False):
            _panel(axes, x, label, curves, share)
        if classes is not None:
            _classes(all_axes[-1], x, classes)
        handles = [
            Line2D([], [], color=look.color, linewidth=look.width, linestyle=(0, look.dashes) if look.dashes else "-")
            for look in LOOKS.values()
        ]
        band = Patch(color=LOOKS["random"].color, alpha=0.22, linewidth=0)
        labels = ["random, median", *list(LOOKS)[1:], f"{100 * share:g}% of the random orders"]
        style.legend(figure, [*handles, band], labels, 4 if wide else 2)
    return figure


def _panel(axes: Axes, x: np.ndarray, label: str, curves: Mapping[str, np.ndarray], share: float) -> None:
    everything: list[float] = []
    for name, look in LOOKS.items():
        rows = curves[name]
        low, middle, high = np.quantile(rows, [(1 - share) / 2, 0.5, (1 + share) / 2], axis=0)
        if len(rows) > 1:
            axes.fill_between(x, low, high, color=look.color, alpha=0.22, linewidth=0, zorder=2)
            everything += [*low, *high]
        everything += [*middle]
        axes.plot(x, middle, color=look.color, linewidth=look.width, zorder=look.order,
                  linestyle=(0, look.dashes) if look.dashes else "-")  # fmt: skip
    if label == "accuracy":
        style.round_ticks(axes.yaxis)
        axes.set_ylabel(label)
    else:
        scale = style.error_scale(axes, everything, log=True)
        axes.set_ylabel(label + (f"\n({scale})" if scale else ""))
    _finish(axes, x)


def _classes(axes: Axes, x: np.ndarray, accuracy: np.ndarray) -> None:
    count = accuracy.shape[-1]
    chosen: Sequence[int] = np.linspace(0, count - 1, min(count, MOST_CLASSES)).round().astype(int).tolist()
    places = np.linspace(0, MOST_CLASSES - 1, len(chosen)).round().astype(int)
    medians = np.median(accuracy, axis=0)
    for place, member in zip(places, chosen, strict=True):
        axes.plot(x, medians[:, member], color=style.ORDINAL[place], linewidth=1.1, label=str(member))
    style.round_ticks(axes.yaxis)
    axes.set_ylabel("median accuracy by class")
    axes.legend(title="class", fontsize=6, title_fontsize=6.5, ncols=2, loc="lower left", handlelength=1.2)
    _finish(axes, x)


def _finish(axes: Axes, x: np.ndarray) -> None:
    last = float(x[-1]) or 1.0
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_xlabel("units removed")
    style.whole_ticks(axes.xaxis, 5)
    axes.grid(axis="y")
    axes.set_axisbelow(True)
