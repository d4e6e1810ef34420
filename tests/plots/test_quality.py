"""Error against seconds and against units removed."""

from __future__ import annotations

import pytest

from secateur.errors import OptionError
from secateur.plots import save
from secateur.plots.quality import QualityLine, draw_quality

LINES = [
    QualityLine("oracle (exact)", [0.1, 0.2, 0.4, 0.8, 1.6], [1.0, 1.0, 2.0, 8.0, 90.0], 4),
    QualityLine("taylor1", [0.05, 0.06, 0.07], [1.0, 9.0, 70.0], 4),
]


def test_panels_marks_and_legend(tmp_path) -> None:
    figure = draw_quality(LINES, ceiling=5.0)
    by_time, by_units = figure.axes
    assert (by_time.get_xscale(), by_time.get_xlabel()) == ("log", "seconds since the start")
    assert (by_units.get_xscale(), by_units.get_xlabel()) == ("linear", "units removed")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        "oracle (exact)",
        "taylor1",
        "25% of the units removed",
        "50% of the units removed",
        "75% of the units removed",
        "5% of the best constant answer's error",
    ]
    squares = [line for line in by_time.get_lines() if line.get_marker() == "s"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in squares] == [(0.4, 2.0), (0.07, 70.0)]
    assert [line.get_ydata()[0] for line in by_time.get_lines() if line.get_marker() == "^"] == [8.0]
    for suffix in ("png", "svg"):
        assert save(figure, tmp_path / f"quality.{suffix}").stat().st_size > 1000


def test_without_a_ceiling_or_units_nothing_is_marked(tmp_path) -> None:
    figure = draw_quality([QualityLine("oracle (exact)", [0.1, 1.0], [0.0, 1.0])], width=3.5)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["oracle (exact)"]
    assert save(figure, tmp_path / "narrow.png").exists()


def test_what_cannot_be_drawn_is_refused() -> None:
    for lines in ([], [QualityLine("a", [1.0], [])], [QualityLine("a", [], [])]):
        with pytest.raises(OptionError, match="draw_quality"):
            draw_quality(lines)
