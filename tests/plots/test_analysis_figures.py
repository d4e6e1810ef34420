"""The figures of interactions, roles and the best subset."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.errors import OptionError
from secateur.plots import draw_best_subset, draw_interactions, draw_roles, save
from secateur.plots.interactions import cluster


def blocks(order: np.ndarray) -> np.ndarray:
    """Two crowds that cancel inside and replace each other across, in a scrambled order."""
    side = np.where(order < len(order) // 2, 1.0, -1.0)
    values = -np.outer(side, side)
    np.fill_diagonal(values, 0.0)
    return values


class TestInteractions:
    def test_alike_units_stand_side_by_side(self) -> None:
        order = np.random.default_rng(0).permutation(10)
        sides = (order < 5)[cluster(blocks(order))]
        assert sorted(cluster(blocks(order))) == list(range(10))
        assert (np.diff(sides.astype(int)) != 0).sum() == 1

    def test_what_two_have_with_each_other_is_no_likeness(self) -> None:
        # 0 and 3 are alike to all others, though they interact strongly; 1 and 2 are like each other.
        values = np.array([[0, 1, 1, 9], [1, 0, 0, 1], [1, 0, 0, 1], [9, 1, 1, 0.0]])
        order = cluster(values)
        assert abs(order.index(0) - order.index(3)) == 1

    def test_colours_are_centred_at_zero_and_a_few_large_pairs_are_clipped(self) -> None:
        values = blocks(np.arange(30))
        values[0, 1] = values[1, 0] = 1000.0
        figure = draw_interactions(values, [f"fc{1 + at % 2}:{at}" for at in range(30)])
        (image,) = figure.axes[0].get_images()
        assert image.get_clim() == (-1.0, 1.0)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fc1", "fc2"]

    def test_in_the_given_order(self) -> None:
        values = blocks(np.array([0, 3, 1, 2]))
        figure = draw_interactions(values, list("abcd"), clustered=False)
        assert np.array_equal(figure.axes[0].get_images()[0].get_array(), values)
        assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == list("abcd")

    @pytest.mark.parametrize("count", [2, 3, 60])
    def test_draws_and_saves_zeros(self, count, tmp_path) -> None:
        figure = draw_interactions(np.zeros((count, count)), [f"fc:{at}" for at in range(count)])
        assert save(figure, tmp_path / "map.png").exists()

    def test_refuses_shapes_that_differ(self) -> None:
        with pytest.raises(OptionError, match="expected"):
            draw_interactions(np.zeros((3, 3)), ["a", "b"])


class TestRoles:
    def test_bars_count_and_marks_stand_where_costs_are(self, tmp_path) -> None:
        units = [f"fc{1 + at // 4}:{at % 4}" for at in range(8)]
        roles = ["dead", "bearing", "bearing", "mixed", "harmful", "cancelling", "cancelling", "redundant"]
        costs = np.array([0.0, 9.0, 30.0, 1.0, -2.0, 8.0, 8.0, 0.05])
        figure = draw_roles(units, roles, costs, costs - 1, 0.1)
        bars, scatter = figure.axes
        assert sum(patch.get_width() for patch in bars.patches) == 8
        assert [text.get_text() for text in bars.get_yticklabels()] == ["fc1", "fc2"]
        points = np.concatenate([made.get_offsets() for made in scatter.collections])
        assert sorted(points[:, 0]) == pytest.approx(sorted(costs / 0.1))
        assert save(figure, tmp_path / "roles.png").exists()

    def test_refuses_a_role_that_is_none(self) -> None:
        with pytest.raises(OptionError, match="lazy"):
            draw_roles(["fc:0"], ["lazy"], [0.0], [0.0], 1.0)


class TestBestSubset:
    def test_gaps_are_shares_of_the_optimum(self, tmp_path) -> None:
        figure = draw_best_subset([1.0, 2.0, 4.0], {"oracle": [1.0, 3.0, 4.0], "taylor1": [1.0, 8.0]})
        left, right = figure.axes
        assert left.get_lines()[0].get_ydata().tolist() == [1.0, 2.0, 4.0]
        assert [line.get_ydata().tolist() for line in right.get_lines()[:2]] == [[0.0, 50.0, 0.0], [0.0, 300.0]]
        assert save(figure, tmp_path / "best.png").exists()

    def test_an_optimum_of_zero_draws(self, tmp_path) -> None:
        assert save(draw_best_subset([0.0, 0.0], {"oracle": [0.0, 1.0]}), tmp_path / "best.png").exists()

    def test_refuses_a_longer_curve(self) -> None:
        with pytest.raises(OptionError, match="no longer"):
            draw_best_subset([1.0], {"oracle": [1.0, 2.0]})
