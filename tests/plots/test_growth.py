"""Growth on logarithmic axes."""

from __future__ import annotations

import pytest

from secateur.errors import OptionError
from secateur.plots import save
from secateur.plots.growth import GrowthLine, draw_growth


def test_axes_ticks_and_labels(tmp_path) -> None:
    lines = [
        GrowthLine("oracle (exact)", [1000, 4000], [0.1, 0.4], [0.05, 0.3], [0.2, 0.5], 1.0),
        GrowthLine("plain loop", [1000, 2000], [9.0, 18.0], exponent=1.02),
    ]
    figure = draw_growth(lines, of="units of the hidden layer")
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "units of the hidden layer"
    assert axes.get_ylabel().startswith("seconds of one round")
    assert list(axes.get_xticks()) == [1000, 2000, 4000]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["oracle (exact), exponent 1.00", "plain loop, exponent 1.02", "linear growth"]
    low, high = axes.get_ylim()
    assert low < 0.05
    assert high > 18
    linear = axes.get_lines()[-1]
    assert list(linear.get_ydata()) == pytest.approx([0.1, 0.2, 0.4])
    for suffix in ("png", "svg"):
        assert save(figure, tmp_path / f"growth.{suffix}").stat().st_size > 1000


@pytest.mark.parametrize("lines", [[], [GrowthLine("a", [1, 2], [1.0])], [GrowthLine("a", [1], [0.0])]])
def test_what_cannot_be_drawn_is_refused(lines) -> None:
    with pytest.raises(OptionError, match="draw_growth"):
        draw_growth(lines)
