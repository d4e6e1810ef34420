"""What the units do: how many of each role in each layer, and what each costs, alone and at the least."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from secateur.errors import OptionError
from secateur.plots import style

LOOKS = MappingProxyType(
    {
        "dead": (style.RULE, "o"),
        "constant": (style.CRITERIA["random"].color, "s"),
        "harmful": (style.CUT, "v"),
        "redundant": (style.CRITERIA["taylor2"].color, "D"),
        "cancelling": (style.SPARE[0].color, "X"),
        "offset-cancelling": (style.SPARE[2].color, "P"),
        "bearing": (style.LEAF, "^"),
        "mixed": (style.SPARE[1].color, "."),
    }
)
"""The colour and the mark of each role."""


def draw_roles(
    units: Sequence[str],
    roles: Sequence[str],
    costs: Any,
    least: Any,
    small: float,
    *,
    much: float = 10.0,
    width: float = style.WIDE,
) -> Figure:
    """Draw how many units of each layer have which role; and each unit by its cost alone and its least cost in any
    state.

    Lines mark e (dashed) and 10 e (solid) on either side of 0; between the dashed ones a cost counts as nothing.

    Shape: K names "layer:index", K roles, costs (K,) and least (K,).
    Units: costs d(u|1) and least costs over G in units of e, so e is 1 on both axes.
    Raises: OptionError: lengths that differ, no units, an unknown role.

    >>> figure = draw_roles(["fc1:0", "fc1:1"], ["dead", "bearing"], [0.0, 9.0], [0.0, 8.0], 0.1)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['dead 1', 'bearing 1']
    """
    costs, least = np.asarray(costs, dtype=float) / small, np.asarray(least, dtype=float) / small
    strange = set(roles) - set(LOOKS)
    if not units or not len(units) == len(roles) == len(costs) == len(least) or strange:
        raise OptionError(
            f"draw_roles got {len(units)} units, {len(roles)} roles, {len(costs)} and {len(least)} costs, unknown "
            f"roles: {', '.join(sorted(strange)) or 'none'}; expected as many of each, and roles of analysis.ROLES."
        )
    present = [role for role in LOOKS if role in roles]
    layers = list(dict.fromkeys(name.rpartition(":")[0] for name in units))
    with style.house_style():
        wide = width > 5.0
        figure = style.new_figure(width, 3.3 if wide else 5.6)
        bars, scatter = figure.subplots(1 if wide else 2, 2 if wide else 1)
        _bars(bars, layers, present, units, roles)
        _scatter(scatter, present, roles, costs, least, much)
        handles = [_mark(role) for role in present]
        counts = [f"{role} {list(roles).count(role)}" for role in present]
        style.legend(figure, handles, counts, 4 if wide else 2)
    return figure


def _bars(
    axes: Axes, layers: Sequence[str], present: Sequence[str], units: Sequence[str], roles: Sequence[str]
) -> None:
    home = [name.rpartition(":")[0] for name in units]
    start = np.zeros(len(layers))
    places = np.arange(len(layers))[::-1]
    for role in present:
        counts = np.array([sum(h == layer and r == role for h, r in zip(home, roles, strict=True)) for layer in layers])
        axes.barh(places, counts, left=start, height=0.62, color=LOOKS[role][0], edgecolor="white", linewidth=0.6)
        start = start + counts
    axes.set_yticks(places, labels=[style.short(layer, 16) for layer in layers], color=style.INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.7, len(layers) - 0.3)
    axes.set_xlabel("units of the layer")
    style.whole_ticks(axes.xaxis)


def _scatter(
    axes: Axes, present: Sequence[str], roles: Sequence[str], costs: np.ndarray, least: np.ndarray, much: float
) -> None:
    for at in (-1.0, 1.0):
        for value, dashes in ((at, (3.0, 2.0)), (much * at, (None, None))):
            axes.axhline(value, color=style.RULE, linewidth=0.8, dashes=dashes, zorder=1)
            axes.axvline(value, color=style.RULE, linewidth=0.8, dashes=dashes, zorder=1)
    for role in present:
        inside = np.array([one == role for one in roles])
        color, marker = LOOKS[role]
        axes.scatter(
            costs[inside], least[inside], s=22, c=color, marker=marker, edgecolors=style.INK, linewidths=0.35, zorder=3
        )
    for axis, values, put in ((axes.xaxis, costs, axes.set_xscale), (axes.yaxis, least, axes.set_yscale)):
        put("symlog", linthresh=1.0, linscale=0.7)
        axis.set_major_locator(FixedLocator(_powers(values, much)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: style.number(float(value))))
    axes.set_xlabel("cost alone, d(u|1) / e")
    axes.set_ylabel("least cost in any state / e")


def _powers(values: np.ndarray, much: float) -> list[float]:
    """0, and powers of ten on either side as far as the values go, at most four a side."""
    found = [0.0]
    for sign in (-1.0, 1.0):
        reach = max(much, float(np.max(sign * values, initial=0.0)))
        powers = np.arange(0, np.floor(np.log10(reach)) + 1)
        found += [sign * 10.0**power for power in powers[:: max(1, int(np.ceil(len(powers) / 4)))]]
    return sorted(found)


def _mark(role: str) -> Line2D:
    color, marker = LOOKS[role]
    return Line2D([], [], color=color, marker=marker, linestyle="", markeredgecolor=style.INK, markeredgewidth=0.35)
