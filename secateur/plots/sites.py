"""Which site lost its units, and when: one band a site, as high as the share of its units that is left.

Above MOST_BANDS sites a band is too low to read a height from: there a strip gets darker as its site is emptied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from secateur.errors import OptionError, UnitError
from secateur.plots import style
from secateur.trace import Step

MOST_LEVELS = 60
MOST_BANDS = 40
SHADES = 12


@dataclass(frozen=True, slots=True)
class SiteUnits:
    """A site as a figure needs it: the layer's name and the names of its units."""

    layer: str
    units: Sequence[str]


def draw_sites(
    steps: Sequence[Step], sites: Sequence[SiteUnits], *, result_step: int | None = None, width: float = style.WIDE
) -> Figure:
    """Draw, for each site, the share of its units that is left after each removal, as a band that gets lower.

    Sites stand in order of execution, the first on top; a band of full height is a whole site. Of more than forty sites
    the colour tells the share that is gone, in twelve shades. The numbers on the right count the
    units left at the result (where none is given, after the last step), which a line marks.

    Shape: one band for each site; works for one site and for some hundred.
    Units: x counts removed units; the height of a band is units left / units of the site (the shade: gone / units).
    Raises: OptionError: no sites or no steps. UnitError: a step removed a unit that is in no site.

    >>> steps = [Step(0, None, 1.0, 0.0), Step(1, "fc1:1", 1.5, 0.4)]
    >>> [text.get_text() for text in draw_sites(steps, [SiteUnits("fc1", ["fc1:0", "fc1:1"])]).axes[0].texts]
    ['1 of 2']
    """
    if not sites or not steps:
        raise OptionError("draw_sites needs at least one site and step 0; got none.")
    home = {name: i for i, site in enumerate(sites) for name in site.units}
    last = steps[-1].step
    mark = last if result_step is None else result_step
    removed: list[list[int]] = [[] for _ in sites]
    for step in steps:
        if step.unit is None:
            continue
        if step.unit not in home:
            raise UnitError(f"step {step.step} removed {step.unit!r}, which is in none of the {len(sites)} sites.")
        removed[home[step.unit]].append(step.step)

    with style.house_style():
        count = len(sites)
        row = min(max(7.5 / count, 0.075), 0.95 if count == 1 else 0.42)
        figure = style.new_figure(width, 0.62 + row * count + (0.35 if count <= 3 else 0.0))
        axes = figure.subplots()
        bases = [float(count - 1 - i) for i in range(count)]
        sizes = [len(site.units) for site in sites]
        (_draw_bands if count <= MOST_BANDS else _draw_strips)(axes, bases, removed, sizes, last)

        size = min(7.5, max(4.5, row * 72 * 0.8))
        every = max(1, round(size / 72 * 1.05 / row))
        axes.set_yticks(
            [b + 0.41 for b in bases[::every]],
            labels=[style.short(site.layer, 30 if width > 5 else 16) for site in sites[::every]],
            fontsize=size,
            color=style.INK,
        )
        axes.tick_params(axis="y", length=0)
        beside = blended_transform_factory(axes.transAxes, axes.transData)
        for i in range(0, count, every):
            left = len(sites[i].units) - sum(1 for step in removed[i] if step <= mark)
            axes.text(1.012, bases[i] + 0.41, f"{left:,} of {len(sites[i].units):,}", transform=beside, fontsize=size,
                      va="center", color=style.MUTED)  # fmt: skip
        if last and mark < last:
            axes.axvline(mark, color=style.INK, linewidth=1.1, zorder=5)
        above = "left at the end" if result_step is None else f"left at the result, step {mark:,}"
        axes.set_title(f"units {above}", loc="right", fontsize=7, color=style.MUTED, pad=4)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(-0.12, count)
        axes.set_xlim(0, last or 1)
        style.whole_ticks(axes.xaxis, 6)
        what = "height of a band: share of its units left" if count <= MOST_BANDS else "darker: more of its units gone"
        axes.set_xlabel(f"units removed\n({what})")
    return figure


def _draw_bands(
    axes: Axes, bases: Sequence[float], removed: Sequence[Sequence[int]], sizes: Sequence[int], last: int
) -> None:
    bands = [_band(gone, size, last, base, 0.82) for base, gone, size in zip(bases, removed, sizes, strict=True)]
    axes.hlines(bases, 0, last or 1, color=style.MUTED, linewidth=0.5, zorder=2)
    axes.hlines([base + 0.82 for base in bases], 0, last or 1, color=style.RULE, linewidth=0.6, zorder=1)
    axes.add_collection(PolyCollection(bands, facecolors=style.LEAF, edgecolors="none", alpha=0.4, zorder=3))
    stairs = [band[1:-1] for band in bands]
    axes.add_collection(LineCollection(stairs, colors=style.LEAF, linewidths=1.1, zorder=4))


def _draw_strips(
    axes: Axes, bases: Sequence[float], removed: Sequence[Sequence[int]], sizes: Sequence[int], last: int
) -> None:
    pieces: list[list[list[tuple[float, float]]]] = [[] for _ in range(SHADES + 1)]
    for base, gone, size in zip(bases, removed, sizes, strict=True):
        since, shade = 0.0, 0
        for i, step in enumerate([*gone, last or 1], start=1):
            now = math.ceil(min(i, len(gone)) / size * SHADES)
            if now != shade or i > len(gone):
                top = base + 0.86
                pieces[shade].append([(since, base), (since, top), (step, top), (step, base)])
                since, shade = float(step), now
    for shade, patches in enumerate(pieces):
        strength = 0.07 + 0.93 * shade / SHADES
        color = style.CUT if shade else style.MUTED
        axes.add_collection(PolyCollection(patches, facecolors=color, edgecolors="none", alpha=strength, zorder=3))


def _band(gone: Sequence[int], units: int, last: int, base: float, room: float) -> list[tuple[float, float]]:
    """The outline of a band: a stair that goes down at each removal, at most MOST_LEVELS stairs."""
    corners = [(0.0, base), (0.0, base + room)]
    left, stride = units, max(1, len(gone) // MOST_LEVELS)
    for i, step in enumerate(gone, start=1):
        left -= 1
        if i % stride and i < len(gone):
            continue
        corners.append((float(step), corners[-1][1]))
        corners.append((float(step), base + room * left / units))
    corners += [(float(last or 1), corners[-1][1]), (float(last or 1), base)]
    return corners
