"""The figures that decide the claims: means over seeds, single networks faint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from secateur.analysis import ROLES, TOLERANCES
from secateur.plots import save, style
from secateur.studies.claims import checkpoints, deep, optimiser, width
from secateur.studies.claims.tasks import Record

COLORS = tuple(line.color for line in (style.CRITERIA["oracle"], style.CRITERIA["taylor1"], style.CRITERIA["taylor2"]))
COLORS = (*COLORS, style.CRITERIA["magnitude"].color, *(line.color for line in style.SPARE))
BAND = (10.0, 90.0)
NETWORKS = ("cosine\n20 units", "diamond\n100", "random\nshape 100", "400-100-10\n100")
LBFGS = ("diamond\n100 units", "random\nshape 100", "400-100-10\n100", "400-50-50-10\n100")
ORDERS = {"taylor1": "first order", "taylor2_paper": "second, the paper's", "taylor2": "second, exact"}


def draw(records: Sequence[Record], folder: Path) -> list[Path]:
    """Draw every figure whose experiments are there."""
    of = {name: [r for r in records if r["experiment"] == name] for name in {r["experiment"] for r in records}}
    made = []
    for name, (needed, picture) in FIGURES.items():
        if all(experiment in of for experiment in needed):
            with style.house_style():
                figure = picture(*(of[experiment] for experiment in needed))
            made.append(save(figure, folder / f"{name}.svg"))
    return made


def _training(found: Sequence[Record]) -> Figure:
    figure, (left, right) = _panels(2)
    labels = {
        "well": "trained well",
        "early": "stopped after 1 epoch",
        "noise": "30% random labels",
        "raw": "raw pixels, one digit",
    }
    accuracy = {label: 100 * _curves(found, f"accuracy_{kind}") for kind, label in labels.items()}
    _lines(left, {label: runs - runs[:, :1] for label, runs in accuracy.items()})
    _lines(right, {label: _curves(found, kind) for kind, label in labels.items()})
    left.axhline(-1, color=style.RULE, zorder=0)
    left.set(ylim=(-20, 3), xlabel="units removed of 100", ylabel="held-out accuracy, change in points")
    right.axhline(1, color=style.RULE, zorder=0)
    _logarithmic(right)
    right.set(ylim=(0.7, 10), xlabel="units removed of 100", ylabel="held-out E, start = 1")
    right.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    left.legend(loc="lower left")
    return figure


def _choice(found: Sequence[Record], trained: Sequence[Record], relu: Sequence[Record]) -> Figure:
    figure = style.new_figure(style.WIDE, 5.2)
    (left, right), (low, unused) = figure.subplots(2, 2)
    unused.remove()
    registered = [_curves(found, f"reach_{order}").T for order in ORDERS]
    lbfgs = [[_values(trained, f"reach_{order}_lbfgs_{net}") for net in optimiser.NETWORKS] for order in ORDERS]
    for axes, orders, networks in ((left, registered, NETWORKS), (right, lbfgs, LBFGS)):
        for at, (label, places) in enumerate(zip(ORDERS.values(), orders, strict=True)):
            for place, values in enumerate(places):
                _dots(axes, place + 0.25 * (at - 1), values, COLORS[at + 1], label if place == 0 else "")
        axes.set_xticks(range(4), networks)
        axes.legend(loc="upper left", ncols=2)
    left.set_title("trained by Adam or gradient descent", loc="left")
    right.set_title("trained by L-BFGS", loc="left")
    columns = ("sigmoid_mnist", "relu_mnist", "sigmoid_diamond", "relu_diamond")
    for place, column in enumerate(columns):
        _dots(low, place - 0.15, _values(relu, f"reach_{column}"), COLORS[3], ORDERS["taylor2"] if place == 0 else "")
        if column.startswith("relu"):
            stand_in = _values(relu, f"stand_in_{column.removeprefix('relu_')}")
            _dots(low, place + 0.15, stand_in, COLORS[4], "scored with softplus" if place == 1 else "")
    low.set_xticks(range(4), ("400-100-10\nsigmoid", "400-100-10\nReLU", "diamond\nsigmoid", "diamond\nReLU"))
    low.legend(loc="upper left", ncols=2)
    low.set_title("trained by Adam, sigmoid and ReLU", loc="left")
    for axes in (left, right, low):
        axes.axhline(1, color=style.RULE, zorder=0)
        axes.set(ylabel="removals until E + 5% of S,\noracle's = 1", ylim=(-0.05, 1.6))
    return figure


def _cancelling(found: Sequence[Record]) -> Figure:
    figure, (left, right) = _panels(2)
    base = np.zeros(2)
    colors = dict(zip(ROLES, style.ORDINAL, strict=False)) | {"bearing": style.INK, "mixed": "#c9ccc9"}
    for role in ROLES:
        at = ROLES.index(role)
        shares = np.array([100 * _curves(found, f"roles_{net}")[:, at].mean() for net in ("mnist", "cosine")])
        if shares.max() >= 0.5:
            left.barh([1, 0], shares, left=base, color=colors[role], label=role, height=0.55)
        base += shares
    left.set_yticks([1, 0], ["400-100-10", "cosine,\n20 units"])
    left.set(xlabel="units, % (mean over networks)", ylim=(-0.5, 2.2), xlim=(0, 100))
    left.legend(loc="upper left", ncols=3)
    for place, (off, kind) in enumerate((off, kind) for off in ("zero", "mean") for kind in ("trained", "frozen")):
        color = COLORS[0] if kind == "trained" else COLORS[1]
        label = ("trained" if kind == "trained" else "random frozen features") if place < 2 else ""
        x = place // 2 + (0.15 if kind == "frozen" else -0.15)
        _dots(right, x, 100 * _values(found, f"negative_{off}_{kind}_mnist"), color, label)
    right.set_xticks([0, 1], ["off = zero", "off = mean"])
    right.set(ylabel="pairs that cancel (below -e), %", xlim=(-0.6, 1.6), ylim=(0, 60))
    right.legend(loc="upper right")
    return figure


def _width(found: Sequence[Record]) -> Figure:
    figure, (left, right) = _panels(2)
    for shift, net, label, color in ((-0.15, "mnist", "400-w-10", COLORS[0]), (0.15, "cosine", "cosine", COLORS[1])):
        for at, tolerance in enumerate(TOLERANCES):
            values = _values(found, f"{net}_{tolerance:g}")
            if np.isfinite(values).any():
                _dots(left, at + shift, values, color)
        left.plot([], [], color=color, linewidth=2, label=label)
    left.axhline(0.1, color=style.RULE, zorder=0)
    left.set_xticks(range(len(TOLERANCES)), [f"{100 * tolerance:g}%" for tolerance in TOLERANCES])
    left.set(xlabel="tolerance, of the best constant's error", ylabel="b of  knee ~ width^b", ylim=(0, None))
    left.legend(loc="best")
    tolerated = 100 * _curves(found, "tolerated")
    for at in range(len(width.WIDTHS)):
        _dots(right, at, tolerated[:, at], COLORS[0])
    right.set_xticks(range(len(width.WIDTHS)), [f"{units}" for units in width.WIDTHS])
    right.set(xlabel="width w of 400-w-10", ylabel="units that may fail at random, %", ylim=(0, None))
    return figure


def _layers(found: Sequence[Record]) -> Figure:
    figure, (axes,) = _panels(1)
    names = {"oracle": "oracle", "taylor1": "first order", "taylor2_paper": "second order, the paper's"}
    _lines(axes, {label: _curves(found, criterion) for criterion, label in names.items()})
    last = deep.FIRST
    axes.plot([0, last], [0, last / 2], color=style.RULE, zorder=0)
    style.whole_ticks(axes.yaxis)
    axes.set(xlabel="units removed of 100", ylabel="of these, from the deepest layer")
    axes.legend(loc="upper left")
    return figure


def _schedule(found: Sequence[Record]) -> Figure:
    figure, panels = _panels(2)
    names = {"oracle": "oracle", "taylor1": "first order", "taylor2_paper": "second order"}
    for axes, (schedule, title) in zip(panels, {"once": "ranked once", "again": "ranked again"}.items(), strict=True):
        _lines(axes, {label: 100 * _curves(found, f"{kind}_{schedule}") for kind, label in names.items()})
        axes.set(xlabel="units removed of 100", ylabel="training accuracy, %", ylim=(0, 102), title=title)
    panels[0].legend(loc="lower left")
    return figure


def _checkpoints(found: Sequence[Record], cost: Sequence[Record]) -> Figure:
    figure, (left, middle, right) = _panels(3)
    overlap = 100 * _curves(found, "overlap")
    for at, color in zip(range(overlap.shape[1]), COLORS[:1] * 9, strict=False):
        _dots(left, at, overlap[:, at], color)
    left.axhline(50, color=style.RULE, zorder=0)
    left.set_xticks(range(len(checkpoints.EPOCHS)), [str(epoch) for epoch in checkpoints.EPOCHS])
    left.set(xlabel="epochs trained of 50", ylabel="of the first half to go,\nknown by then, %")
    for at, kind in enumerate(("whole", "end", "middle")):
        _dots(middle, at, 100 * _values(found, f"accuracy_{kind}"), COLORS[0])
    middle.set_xticks(range(3), ["not\npruned", "at the\nend", "in the\nmiddle"])
    middle.set(ylabel="held-out accuracy, %")
    for at, kind in enumerate(("exact", "naive")):
        _dots(right, at, _values(cost, kind), COLORS[0])
    right.axhline(1, color=style.RULE, zorder=0)
    right.set_xticks([0, 1], ["exact\nengine", "forward\npasses"])
    right.set(ylabel="time of the oracle's run,\ntraining = 1", xlim=(-0.6, 1.6), ylim=(0, None))
    return figure


def _subset(found: Sequence[Record]) -> Figure:
    figure, panels = _panels(2)
    names = {"best": "best subset", "greedy": "greedy (oracle)", "swapped": "greedy with swaps"}
    for axes, (short, title) in zip(panels, {"sgd": "gradient descent", "lbfgs": "L-BFGS"}.items(), strict=True):
        least = _curves(found, f"best_{short}")[:, :1]
        rises = {label: _curves(found, f"{kind}_{short}") - least for kind, label in names.items()}
        _lines(axes, {label: np.maximum(rise, 1e-7) for label, rise in rises.items()})
        axes.axhline(0.05, color=style.RULE, zorder=0)
        _logarithmic(axes)
        style.whole_ticks(axes.xaxis)
        axes.set(ylim=(1e-6, None), title=title, xlabel="units removed of 20", ylabel="rise of E, parts of S")
    panels[0].legend(loc="lower right")
    return figure


FIGURES: Mapping[str, tuple[tuple[str, ...], Callable[..., Figure]]] = MappingProxyType(
    {
        "training": (("training",), _training),
        "choice": (("choice", "optimiser", "relu"), _choice),
        "cancelling": (("cancelling",), _cancelling),
        "width": (("width",), _width),
        "layers": (("deep",), _layers),
        "schedule": (("schedule",), _schedule),
        "checkpoints": (("checkpoints", "cost"), _checkpoints),
        "subset": (("subset",), _subset),
    }
)
"""The experiments that each figure shows, and how."""


def _panels(columns: int) -> tuple[Figure, Any]:
    figure = style.new_figure(style.WIDE if columns > 1 else style.WIDE / 2, 2.6)
    return figure, figure.subplots(1, columns, squeeze=False)[0]


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: style.number(value))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _lines(axes: Axes, runs: Mapping[str, np.ndarray]) -> None:
    """For each label the mean of its runs, a row each, by the number of units removed, and their band."""
    for (label, values), color in zip(runs.items(), COLORS, strict=False):
        x, (low, high) = np.arange(values.shape[1]), np.percentile(values, BAND, axis=0)
        axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(x, values.mean(0), color=color, label=label)


def _dots(axes: Axes, x: float, values: np.ndarray, color: str, label: str = "") -> None:
    axes.plot(np.full(len(values), x), values, "o", color=color, alpha=0.35, markersize=3.5, markeredgewidth=0)
    axes.plot([x - 0.09, x + 0.09], [np.nanmean(values)] * 2, color=color, linewidth=2, label=label)


def _curves(records: Sequence[Record], name: str) -> np.ndarray:
    rows = [record["curves"][name] for record in records]
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=float)


def _values(records: Sequence[Record], name: str) -> np.ndarray:
    values = [record["values"].get(name) for record in records]
    return np.array([np.nan if value is None else value for value in values], dtype=float)
