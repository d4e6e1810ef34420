"""Units by layer: how many units each layer has left, stacked, and as shares of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from secateur.errors import OptionError
from secateur.plots import style


def draw_layers(layers: Sequence[str], left: Any, *, width: float = style.WIDE) -> Figure:
    """Draw the units that each layer has left against the units removed: stacked, and as a share of the layer's own.

    A line below the others belongs to a layer that is emptied first.

    Shape: left (steps, layers), the untouched network first.
    Units: units; shares in per cent of those that the layer began with.
    Raises: OptionError: no layers or steps, or another number of columns than layers.
    Source: PAPER.md, claim 6.

    >>> figure = draw_layers(["fc1", "fc2"], [[2, 2], [2, 1], [1, 1]])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['units left', "share left of the layer's units"]
    """
    counts = np.asarray(left, dtype=float)
    if not layers or counts.ndim != 2 or counts.shape[1] != len(layers) or (counts[:1] <= 0).any():
        raise OptionError(
            f"draw_layers got {len(layers)} layers and counts {counts.shape}; expected a column for each layer, and a "
            "row for the untouched network, where each has a unit or more."
        )
    x = np.arange(len(counts))
    places = np.linspace(0, len(style.ORDINAL) - 1, len(layers)).round().astype(int)
    colors = [style.ORDINAL[place] for place in places]
    with style.house_style():
        wide = width > 5.0
        columns = 5 if wide else 2
        height = (2.7 if wide else 4.6) + 0.15 * (len(layers) // columns)
        figure = style.new_figure(width, height)
        stacked, share = figure.subplots(1 if wide else 2, 2 if wide else 1)
        # The last layer at the bottom, as the network is drawn with its input on top.
        stacked.stackplot(x, counts.T[::-1], colors=colors[::-1], alpha=0.75, linewidth=0)
        stacked.set_ylabel("units left")
        style.whole_ticks(stacked.yaxis, 5)
        for column, color in enumerate(colors):
            share.plot(
                x, 100 * counts[:, column] / counts[0, column], color=color, linewidth=1.4, drawstyle="steps-post"
            )
        share.set_ylabel("share left of the layer's units")
        share.set_ylim(0, 104)
        share.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
        last = float(x[-1]) or 1.0
        for axes in (stacked, share):
            axes.set_xlim(0, last)
            axes.set_xlabel("units removed")
            style.whole_ticks(axes.xaxis, 6)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        handles = [Patch(color=color, alpha=0.75, linewidth=0) for color in colors]
        style.legend(figure, handles, [style.short(layer, 30) for layer in layers], columns)
    return figure
