"""Gain curves: both spaces, the line at a = 1, and at most ten units."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.errors import OptionError
from secateur.plots import GainLine, draw_gains, save

GAINS = np.linspace(0, 10, 10_001)


def test_one_panel_is_logarithmic_and_one_linear():
    figure = draw_gains([GainLine("fc1:3", GAINS, 1 + (GAINS - 1) ** 2 * 5, 10)])
    log, real = figure.axes
    assert (log.get_yscale(), real.get_yscale()) == ("log", "linear")
    for axes in (log, real):
        assert axes.get_ylabel().startswith("error, summed over examples")
        assert "gain" in axes.get_xlabel()


def test_a_line_stands_at_one_and_the_curve_keeps_that_point():
    figure = draw_gains([GainLine("fc1:3", GAINS, 1 + np.abs(GAINS - 1), 10)])
    curve, line = figure.axes[1].get_lines()
    assert line.get_xdata() == [1.0, 1.0]
    assert 1.0 in curve.get_xdata()
    assert curve.get_ydata().min() == 1.0


def test_units_are_labelled_by_step_and_name():
    figure = draw_gains([GainLine("fc1:3", [0, 1], [2.0, 1.0], 10), GainLine("fc1:4", [0, 1], [3.0, 1.0])])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["step 10 · fc1:3", "fc1:4"]


def test_of_many_units_ten_are_drawn_first_and_last_among_them():
    lines = [GainLine(f"fc1:{i}", [0, 1], [i + 1.0, 1.0], i) for i in range(57)]
    names = [text.get_text() for text in draw_gains(lines).legends[0].get_texts()]
    assert len(names) == 10
    assert names[0].endswith("fc1:0")
    assert names[-1].endswith("fc1:56")


@pytest.mark.parametrize("errors", [[0.0, 0.0], [np.nan, 1.0], [np.inf, np.nan], [0.0, 4.0]])
def test_hard_errors_draw_and_save(errors, tmp_path):
    assert save(draw_gains([GainLine("fc:0", [0.0, 1.0], errors)]), tmp_path / "g.png").exists()


def test_lengths_that_differ_are_refused():
    with pytest.raises(OptionError, match="as many errors as gains"):
        draw_gains([GainLine("fc:0", [0, 1], [1.0])])
    with pytest.raises(OptionError):
        draw_gains([])
