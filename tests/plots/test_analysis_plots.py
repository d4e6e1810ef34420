"""Figures of fidelity, fault tolerance and layers: the lines say what the numbers say, and odd input is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from secateur.analysis import FaultTolerance, Fidelity, RemovalCurves, StateFidelity
from secateur.errors import OptionError
from secateur.plots import draw_fault_tolerance, draw_fidelity, draw_layers, save


def state(count: int, slope: float = 2.0) -> StateFidelity:
    x = torch.linspace(-1, 1, count, dtype=torch.float64)
    return StateFidelity(torch.arange(count), x, slope * x, slope, 0.0, 1.0, 1.0, 1.0, 0.0)


def fidelity(*states: StateFidelity) -> Fidelity:
    return Fidelity("taylor1", 20, 1.0, states)


def test_the_calibration_line_goes_through_the_units() -> None:
    axes = draw_fidelity(fidelity(state(9))).axes[0]
    units, chosen, agreement, line = axes.get_lines()
    assert np.allclose(line.get_ydata(), 2 * np.asarray(line.get_xdata()))
    assert np.allclose(agreement.get_ydata(), agreement.get_xdata())
    assert units.get_ydata()[0] == -2
    assert chosen.get_xdata()[0] == -1


def test_of_many_states_four_are_drawn_first_and_last_among_them(tmp_path: Path) -> None:
    figure = draw_fidelity(fidelity(*(state(n) for n in range(20, 9, -1))))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(titles) == 4
    assert (titles[0], titles[-1]) == ("all 20 units on", "10 of 20 units off")
    assert save(figure, tmp_path / "f.png").exists()


def test_scores_that_were_not_measured_are_left_out() -> None:
    partial = state(5, math.nan)
    partial.estimated[2:] = math.nan
    partial.true[:] = 1.0
    axes = draw_fidelity(fidelity(partial)).axes[0]
    assert len(axes.get_lines()[0].get_xdata()) == 2
    assert len(axes.get_lines()) == 3  # no calibration line


def curves(error: Tensor, classes: int) -> RemovalCurves:
    accuracy = torch.exp(-error) if classes else torch.full_like(error, math.nan)
    by_class = accuracy[..., None].expand(-1, -1, classes)
    return RemovalCurves(torch.zeros(len(error), 2, dtype=torch.int64), error, accuracy, by_class, by_class)


def tolerance(classes: int) -> FaultTolerance:
    rows = [[1.0, 2.0, 9.0], [1.0, 4.0, 9.0], [1.0, 3.0, 9.0]], [[1.0, 8.0, 9.0]], [[1.0, 1.0, 9.0]]
    found = [curves(torch.tensor(row, dtype=torch.float64), classes) for row in rows]
    return FaultTolerance(torch.arange(3), *found)


def test_the_median_and_its_band() -> None:
    error, accuracy, classes = draw_fault_tolerance(tolerance(4), share=1.0).axes
    assert error.get_lines()[0].get_ydata().tolist() == [1.0, 3.0, 9.0]
    corners = error.collections[0].get_paths()[0].vertices
    assert sorted(set(corners[corners[:, 0] == 1][:, 1])) == [2.0, 4.0]
    assert accuracy.get_ylabel() == "accuracy"
    assert len(classes.get_lines()) == 4


def test_without_classes_there_is_one_panel(tmp_path: Path) -> None:
    figure = draw_fault_tolerance(tolerance(0), width=3.5)
    assert len(figure.axes) == 1
    assert save(figure, tmp_path / "f.svg").exists()


def test_layers_are_stacked_and_shared() -> None:
    stacked, share = draw_layers(["fc1", "fc2"], [[2, 4], [2, 3], [1, 3]]).axes
    assert len(stacked.collections) == 2
    assert share.get_lines()[1].get_ydata().tolist() == [100.0, 75.0, 75.0]
    assert share.get_lines()[0].get_ydata().tolist() == [100.0, 100.0, 50.0]


def test_refusals() -> None:
    with pytest.raises(OptionError, match="at least one state"):
        draw_fidelity(fidelity())
    with pytest.raises(OptionError, match="share=0"):
        draw_fault_tolerance(tolerance(2), share=0)
    with pytest.raises(OptionError, match="2 layers"):
        draw_layers(["a", "b"], [[1], [0]])
