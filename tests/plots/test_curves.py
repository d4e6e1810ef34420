"""Curves: what is drawn is what was recorded, at any length, with holes and zeros."""

from __future__ import annotations

import math

import numpy as np
import pytest

from secateur.errors import OptionError
from secateur.plots import Run, draw_curves, save
from secateur.plots.curves import BUCKETS, _thin
from secateur.trace import Step


def steps(errors: list[float], accuracy: list[float] | None = None) -> list[Step]:
    return [
        Step(i, f"fc:{i}" if i else None, error, 0.0, {"accuracy": accuracy[i]} if accuracy else {})
        for i, error in enumerate(errors)
    ]


def panels(figure):
    return figure.axes


def test_lines_hold_the_recorded_values():
    figure = draw_curves([Run("oracle", steps([1.0, 2.0, 40.0], [0.9, 0.8, 0.5]), 10, 1)])
    error, accuracy = panels(figure)
    assert list(error.get_lines()[0].get_ydata()) == [1.0, 2.0, 40.0]
    assert list(accuracy.get_lines()[0].get_ydata()) == [0.9, 0.8, 0.5]
    assert error.get_yscale() == "log"


def test_a_ring_marks_the_result_step():
    figure = draw_curves([Run("oracle", steps([1.0, 2.0, 40.0]), 10, 1)])
    line, ring = panels(figure)[0].get_lines()
    assert ring.get_marker() == "o"
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (1, 2.0)
    assert line.get_zorder() < ring.get_zorder()


def test_every_axis_says_what_it_counts():
    figure = draw_curves([Run("oracle", steps([1.0, 2.0], [0.9, 0.8]), 10)])
    error, accuracy = panels(figure)
    assert error.get_ylabel().startswith("error, summed over examples")
    assert accuracy.get_ylabel() == "accuracy"
    assert {axes.get_xlabel() for axes in panels(figure)} == {"units removed"}
    assert error.child_axes[0].get_xlabel() == "share of 10 units"


def test_oracle_is_the_strongest_line_and_no_two_styles_are_alike():
    labels = ["random", "taylor1", "oracle", "taylor2", "taylor2_paper", "magnitude", "mine", "oracle (lazy)"]
    figure = draw_curves([Run(label, steps([1.0, 2.0])) for label in labels])
    lines = panels(figure)[0].get_lines()
    widths = {label: line.get_linewidth() for label, line in zip(labels, lines, strict=True)}
    assert all(widths["oracle"] > width for label, width in widths.items() if label != "oracle")
    assert len({line.get_color() for line in lines}) == len(labels)


def test_the_same_criterion_looks_the_same_in_every_figure():
    alone = panels(draw_curves([Run("taylor2", steps([1.0, 2.0]))]))[0].get_lines()[0]
    among = panels(draw_curves([Run(n, steps([1.0, 2.0])) for n in ("oracle", "taylor2")]))[0].get_lines()[1]
    assert alone.get_color() == among.get_color()


def test_networks_of_different_size_share_an_axis_of_shares():
    figure = draw_curves([Run("oracle", steps([1.0, 2.0]), 20), Run("taylor2", steps([1.0, 2.0]), 100)])
    first, second = panels(figure)[0].get_lines()
    assert first.get_xdata()[-1] == pytest.approx(5.0)
    assert second.get_xdata()[-1] == pytest.approx(1.0)
    assert panels(figure)[0].get_xlabel() == "share of units removed"


@pytest.mark.parametrize(
    "errors",
    [
        [0.0, 0.0, 3.0],
        [0.0],
        [5.0],
        [-1.0, 0.0, 2.0],
        [math.nan, 1.0, math.inf],
        [math.nan],
        [1e-9, 1e9],
        [2.0, 2.0, 2.0],
        [0.0, 1e-12],
    ],
)
def test_hard_errors_draw_and_save(errors, tmp_path):
    path = save(draw_curves([Run("oracle", steps(errors), 4, 0)]), tmp_path / "a.svg")
    assert path.stat().st_size > 1000


def test_a_zero_error_is_on_the_axis_and_not_below_the_figure():
    figure = draw_curves([Run("oracle", steps([0.0, 0.5, 30.0]))])
    axes = panels(figure)[0]
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim()[0] < 0.0 < axes.get_ylim()[1]
    assert "linear near 0" in axes.get_ylabel()


def test_a_metric_that_a_run_lacks_leaves_its_line_empty():
    figure = draw_curves([Run("oracle", steps([1.0, 2.0], [0.9, 0.8])), Run("random", steps([1.0, 2.0]))])
    assert np.isnan(panels(figure)[1].get_lines()[1].get_ydata()).all()


def test_thinning_keeps_peaks_ends_and_holes():
    values = [1.0] * 20_000
    values[7_777], values[5] = 99.0, math.nan
    xs, ys = _thin(list(range(20_000)), values)
    assert (xs[0], xs[-1]) == (0, 19_999)
    assert max(y for y in ys if not math.isnan(y)) == 99.0
    assert any(map(math.isnan, ys))
    assert len(xs) <= 4 * BUCKETS + 1


def test_narrow_figures_stack_their_panels():
    wide = draw_curves([Run("oracle", steps([1.0, 2.0], [0.9, 0.8]))])
    narrow = draw_curves([Run("oracle", steps([1.0, 2.0], [0.9, 0.8]))], width=3.5)
    assert wide.get_figwidth() > wide.get_figheight()
    assert narrow.get_figwidth() < narrow.get_figheight()


@pytest.mark.parametrize("runs", [[], [Run("oracle", [])]])
def test_nothing_to_draw_is_refused(runs):
    with pytest.raises(OptionError, match="at least step 0"):
        draw_curves(runs)
    with pytest.raises(OptionError, match="error=True"):
        draw_curves([Run("oracle", steps([1.0]))], error=False)
