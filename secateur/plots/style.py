"""The look of every figure: fonts, colours, sizes, spines. No other file names a colour."""

from __future__ import annotations

import math
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, MaxNLocator, NullFormatter, NullLocator

from secateur.errors import OptionError

INK = "#1f2421"
MUTED = "#5f665f"
RULE = "#dcd9ce"
LEAF = "#2f6b4f"
CUT = "#c2410c"

WIDE = 7.2
"""Width in inches of a figure with its panels side by side."""
NARROW = 3.5
"""Width in inches of a figure with its panels below each other."""

SUFFIXES = (".png", ".svg", ".pdf")

_RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "text.parse_math": False,  # names of units and labels are the user's: a dollar sign is a dollar sign
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.dpi": 200.0,
    "figure.facecolor": "#ffffff",
    "savefig.dpi": 200.0,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
    "svg.fonttype": "none",
    "svg.hashsalt": "secateur",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How one line is drawn; `order` is its place in depth (higher is in front)."""

    color: str
    dashes: tuple[float, ...] = ()
    width: float = 1.4
    order: float = 3.0


# Okabe and Ito's colours, which colour-blind readers tell apart, darkened until they also read as thin lines on white;
# dashes differ as well, so that a print in grey still tells which is which.
CRITERIA = {
    "oracle": LineStyle(INK, (), 2.4, 5.0),
    "taylor2": LineStyle("#0072b2"),
    "taylor2_paper": LineStyle("#3a9bdc", (5.0, 1.6)),
    "taylor1": LineStyle("#d55e00", (3.2, 1.2)),
    "magnitude": LineStyle("#00876c", (6.0, 1.4, 1.2, 1.4)),
    "random": LineStyle("#8a8f8a", (1.1, 1.3)),
}
_ALIASES = {
    "brute_force": "oracle",
    "first_order": "taylor1",
    "second_order": "taylor2",
    "first-order": "taylor1",
    "second-order": "taylor2",
}
SPARE = (
    LineStyle("#b5568f"),
    LineStyle("#b37a00", (5.0, 1.6)),
    LineStyle("#6a5acd", (3.2, 1.2)),
    LineStyle("#8c4a2f", (6.0, 1.4, 1.2, 1.4)),
    LineStyle("#4f7a28"),
    LineStyle("#a8323e", (1.6, 1.4)),
)

ORDINAL = ("#2d3a8c", "#2f6fb0", "#2492a8", "#2a9d78", "#6aa336", "#b39410", "#cf7420", "#c9503a", "#b03a6a", "#7d3c98")
"""Ten colours in an order that the eye follows, for curves that belong to successive steps."""


def criterion_styles(labels: Sequence[str]) -> list[LineStyle]:
    """One style for each label: a criterion's own where the label begins with its name, else a spare one.

    A name that was seen before in the list (the oracle with two engines, say) gets a spare style, so no two are alike
    while there are spare ones left.
    """
    styles: list[LineStyle] = []
    seen: set[str] = set()
    spare = 0
    for label in labels:
        head = re.match(r"[a-z0-9_-]+", label.strip().lower())
        name = _ALIASES.get(head.group(0), head.group(0)) if head else ""
        if name in CRITERIA and name not in seen:
            seen.add(name)
            styles.append(CRITERIA[name])
        else:
            styles.append(SPARE[spare % len(SPARE)])
            spare += 1
    return styles


@contextmanager
def house_style() -> Iterator[None]:
    """matplotlib with the house settings, and the user's own afterwards."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script that the font lacks
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that lays itself out."""
    engine = ConstrainedLayoutEngine(w_pad=0.05, h_pad=0.05, wspace=0.05, hspace=0.06)
    return Figure(figsize=(width, height), layout=engine)


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as png, svg or pdf, as the suffix of the path says.

    The file is written aside and then renamed, holds no date, and is the same for the same figure.

    Returns: the path.
    Raises: OptionError: another suffix.

    >>> save(new_figure(1, 1), "figure.gif")
    Traceback (most recent call last):
    ...
    secateur.errors.OptionError: cannot write a figure as 'figure.gif': the suffix must be one of .png, .svg, .pdf.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OptionError(f"cannot write a figure as {path.name!r}: the suffix must be one of {', '.join(SUFFIXES)}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    metadata = {".png": {"Software": "secateur"}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    try:
        with house_style():
            figure.savefig(aside, format=suffix[1:], metadata=metadata)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def short(name: str, limit: int = 28) -> str:
    """A name that fits on a figure: control characters become spaces, a long middle an ellipsis.

    >>> short("features.stage4.block2.conv1:511", 16)
    'features…nv1:511'
    """
    name = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in str(name))
    if len(name) <= limit:
        return name
    return f"{name[: limit // 2]}…{name[-(limit - limit // 2 - 1) :]}"


def legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], columns: int) -> None:
    """A legend above the panels, where it covers no data."""
    made = figure.legend(
        list(handles),
        [str(i) for i in range(len(labels))],  # a label that starts with "_" would be dropped, so set the text after
        loc="outside upper left",
        ncols=max(1, min(columns, len(labels))),
        handlelength=2.4,
        columnspacing=1.6,
        handletextpad=0.7,
        borderpad=0.2,
        labelspacing=0.3,
    )
    for text, label in zip(made.get_texts(), labels, strict=True):
        text.set_text(label)


def number(value: float) -> str:
    """A tick's number: plain where short, else a power of ten, in Unicode.

    >>> number(0.001), number(1e-7), number(25000.0), number(0.0)
    ('0.001', '10⁻⁷', '25,000', '0')
    """
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-3 <= size < 1e6:
        digits = max(0, 6 - math.ceil(math.log10(size))) if size < 1e4 else 0
        text = f"{value:,.{min(digits, 6)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        power = math.floor(math.log10(size) + 1e-12)
        mantissa = round(value / 10.0**power, 3)
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        text = f"10{raised}" if mantissa == 1 else f"{mantissa:g}·10{raised}"
    return text.replace("-", "\N{MINUS SIGN}")


_ROUND = [1, 2, 2.5, 5, 10]


def round_ticks(axis: Axis, most: int = 5) -> None:
    """Ticks at round numbers."""
    axis.set_major_locator(MaxNLocator(nbins=most, steps=_ROUND))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(round(float(value), 12))))


def whole_ticks(axis: Axis, most: int = 7) -> None:
    """Ticks at whole numbers only, with thousands apart."""
    axis.set_major_locator(MaxNLocator(nbins=most, integer=True, min_n_ticks=1, steps=_ROUND))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def error_scale(axes: Axes, values: Sequence[float], log: bool) -> str:
    """Give the error its axis: log where all values are positive and differ, symlog where some are 0 or less.

    Returns: the scale, to be told in the label ("log scale", "log scale, linear near 0", or "").
    """
    finite = [v for v in values if math.isfinite(v)]
    positive = [v for v in finite if v > 0]
    if not log or not positive or (min(finite) == max(finite)):
        round_ticks(axes.yaxis)
        return ""
    low, high = min(positive), max(positive)
    if len(positive) == len(finite):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
        axes.yaxis.set_minor_formatter(NullFormatter())
        if high / low < 30:  # less than two powers of ten inside: plain round numbers read better
            axes.yaxis.set_major_locator(_few_round(low, high))
            axes.yaxis.set_minor_locator(NullLocator())
        return "log scale"
    axes.set_yscale("symlog", linthresh=low, linscale=0.5)
    bottom = min(finite)
    largest = max(high, -bottom)
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(largest)) + 1)
    stride = max(1, len(powers) // 5)
    sizes = [10.0**p for p in powers][::stride] or [high]
    axes.yaxis.set_major_locator(FixedLocator([-s for s in sizes if s <= -bottom] + [0.0] + sizes))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(float(value))))
    axes.yaxis.set_minor_locator(NullLocator())
    if bottom == 0:
        axes.set_ylim(-0.15 * low, high * (high / low) ** 0.05 if high > low else high * 1.2)
    return "log scale, linear near 0"


def _few_round(low: float, high: float) -> Locator:
    """Three to six round ticks that cover less than two powers of ten on a log axis."""
    power = math.floor(math.log10(low))
    for steps in ((1, 10), (1, 3, 10), (1, 2, 5, 10), (1, 1.5, 2, 3, 5, 7, 10)):
        ticks = sorted({s * 10.0**p for p in range(power, power + 4) for s in steps})
        inside = [t for t in ticks if low * 0.97 <= t <= high * 1.03]
        if len(inside) >= 3:
            return FixedLocator(inside)
    return MaxNLocator(nbins=5, steps=_ROUND)
