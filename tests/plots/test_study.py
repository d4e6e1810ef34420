"""The figure of a study: means, bands, single networks, the paper's curve."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.errors import OptionError
from secateur.plots.study import Curve, Panel, draw_study

RUNS = np.array([[1.0, 2.0, 8.0], [1.0, 8.0, 2.0], [1.0, 4.0, 4.0]])


def test_lines() -> None:
    panels = [
        Panel("all", "error", [Curve("oracle", RUNS, [(1, -0.1), (2, 3.0)])], log=True),
        Panel("all", "accuracy", [Curve("oracle", RUNS)]),
    ]
    error, accuracy = draw_study([panels], title="T").axes
    by_name = {str(line.get_gid()): line for line in error.lines}
    assert np.allclose(by_name["oracle"].get_ydata(), [1, 4, 4])  # geometric
    assert list(by_name["oracle, the paper"].get_ydata()) == [3.0]  # an error below 0 has no place on a log axis
    assert len(error.lines) == 3 + 1 + 1
    (mean,) = [line for line in accuracy.lines if line.get_gid() == "oracle"]
    assert np.allclose(mean.get_ydata(), RUNS.mean(0))
    low, high = panels[1].band(panels[1].curves[0])
    vertices = accuracy.collections[0].get_paths()[0].vertices
    assert np.isclose(vertices[:, 1].max(), high.max())
    assert np.isclose(vertices[:, 1].min(), low.min())


def test_one_network_has_no_band_and_none_is_told() -> None:
    figure = draw_study([[Panel("all", "accuracy", [Curve("oracle", RUNS[:1])])]], title="T")
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["oracle"]
    assert figure.get_suptitle() == "T\n1 network"


def test_rows_are_conditions() -> None:
    rows = [[Panel(name, "accuracy", [Curve("oracle", RUNS)])] for name in ("zero", "mean")]
    assert [axes.get_title(loc="left") for axes in draw_study(rows, title="T").axes] == ["zero", "mean"]


def test_nothing_to_draw() -> None:
    with pytest.raises(OptionError, match="one panel or more"):
        draw_study([], title="T")
    with pytest.raises(OptionError, match="a row for each network"):
        draw_study([[Panel("all", "error", [Curve("oracle", RUNS[:0])])]], title="T")
