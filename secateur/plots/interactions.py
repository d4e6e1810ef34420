"""Interactions as a map: pairs of units that cost more together than apart, and less; alike ones side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from secateur.errors import OptionError
from secateur.plots import style

MOST_NAMES = 40
"""Units whose names fit on the axes."""
CLIPPED = 99.0
"""Percentile of the sizes at which the colours are at their strongest: a few large pairs would leave the rest white."""


def cluster(values: np.ndarray) -> list[int]:
    """An order of the units in which those that interact alike with the others stand side by side.

        average linkage of the rows' Euclidean distances, leaves in the order of least distance between neighbours

    Each value counts by its sign and the square root of its size. The diagonal, which says nothing, takes no part.

    Shape: (n, n) -> n positions.

    >>> cluster(np.array([[0, 0, 4, 0], [0, 0, 0, 1], [4, 0, 0, 0], [0, 1, 0, 0.0]])) in (
    ...     [0, 2, 1, 3],
    ...     [1, 3, 0, 2],
    ...     [2, 0, 3, 1],
    ...     [3, 1, 2, 0],
    ...     [0, 2, 3, 1],
    ...     [1, 3, 2, 0],
    ...     [2, 0, 1, 3],
    ...     [3, 1, 0, 2],
    ... )
    True
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import pdist, squareform

    if len(values) < 3:
        return list(range(len(values)))
    rows = np.sign(values) * np.sqrt(np.abs(values))
    # Of two units, what each has with itself (0) or with the other is no likeness: (r_uv - 0)^2 twice.
    squares = pdist(rows, "sqeuclidean") - 2 * squareform(rows**2, checks=False)
    tree = linkage(np.sqrt(np.maximum(squares, 0.0)), "average", optimal_ordering=True)
    return [int(at) for at in leaves_list(tree)]


def draw_interactions(
    values: Any, units: Sequence[str], *, clustered: bool = True, width: float = style.WIDE
) -> Figure:
    """Draw the interaction of every pair: blue where the two cancel each other, red where one stands in for the other.

    I_uv = E(1 - e_u - e_v) - E(1 - e_u) - E(1 - e_v) + E(1), white at 0, the same scale on both sides. Units stand in
    the order of `cluster`, or as given; the strips at the sides tell their layers. Beyond the 99th percentile of the
    sizes all have the strongest colour (the bar's ends are then pointed).

    Shape: values (n, n); units n names, "layer:index".
    Units: change of the error, summed over examples.
    Raises: OptionError: fewer than two units, or another number of names than rows.

    >>> figure = draw_interactions([[0.0, 1.0], [1.0, 0.0]], ["fc1:0", "fc2:3"])
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['fc1', 'fc2']
    """
    values = np.asarray(values, dtype=float)
    count = len(units)
    if count < 2 or values.shape != (count, count):
        raise OptionError(f"draw_interactions got values {values.shape} for {count} units; expected (n, n), n above 1.")
    order = cluster(values) if clustered else list(range(count))
    shown, names = values[np.ix_(order, order)], [units[at] for at in order]
    layers = list(dict.fromkeys(name.rpartition(":")[0] for name in units))
    home = np.array([layers.index(name.rpartition(":")[0]) for name in names])
    sizes = np.abs(values[~np.eye(count, dtype=bool)])
    limit = float(np.percentile(sizes, CLIPPED)) or float(sizes.max()) or 1.0

    with style.house_style():
        figure = style.new_figure(width, 0.9 * width)
        _close_up(figure)
        grid = figure.add_gridspec(2, 3, width_ratios=(0.025, 1, 0.03), height_ratios=(0.025, 1))
        axes, left, top = (figure.add_subplot(grid[at]) for at in ((1, 1), (1, 0), (0, 1)))
        image = axes.imshow(shown, cmap=_diverging(), vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        marks = ListedColormap([_color(at) for at in range(len(layers))])
        for strip, shape in ((left, home[:, None]), (top, home[None, :])):
            strip.imshow(shape, cmap=marks, vmin=-0.5, vmax=len(layers) - 0.5, aspect="auto", interpolation="nearest")
            strip.set_xticks([])
            strip.set_yticks([])
            strip.spines[:].set_visible(False)
        _names(left, names)
        bar = figure.colorbar(
            image, cax=figure.add_subplot(grid[1, 2]), extend="both" if sizes.max() > limit else "neither"
        )
        bar.set_label("interaction: change of the error, summed over examples\n"
                      "below 0 they cancel each other; above 0 one stands in for the other")  # fmt: skip
        style.round_ticks(bar.ax.yaxis)
        axes.set_xlabel(f"{count} units, {'alike ones side by side' if clustered else 'in order of execution'}")
        handles = [Patch(color=_color(at)) for at in range(len(layers))]
        style.legend(figure, handles, [style.short(layer) for layer in layers], max(1, int(width)))
    return figure


def _names(axes: Axes, names: Sequence[str]) -> None:
    if len(names) <= MOST_NAMES:
        size = min(7.0, 240 / len(names))
        axes.set_yticks(range(len(names)), labels=[style.short(name, 20) for name in names], fontsize=size)
        axes.tick_params(axis="y", length=0)


def _diverging() -> LinearSegmentedColormap:
    blue, red = style.CRITERIA["taylor2"].color, style.CUT
    return LinearSegmentedColormap.from_list("interaction", [(0.0, blue), (0.5, "white"), (1.0, red)], N=255)


def _color(at: int) -> str:
    """Of a layer: colours that the map does not use come first."""
    return style.ORDINAL[(3, 5, 9, 2, 6, 8, 0, 4, 7, 1)[at % 10]]


def _close_up(figure: Figure) -> None:
    """The strips stand at the map's sides."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(wspace=0.01, hspace=0.01, w_pad=0.02, h_pad=0.02)
