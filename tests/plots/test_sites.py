"""Sites: bands count what is left, for one site and for many."""

from __future__ import annotations

import pytest

from secateur.errors import OptionError, UnitError
from secateur.plots import SiteUnits, draw_sites, save
from secateur.plots.sites import MOST_BANDS, _band
from secateur.trace import Step


def removal(*names: str) -> list[Step]:
    return [Step(0, None, 1.0, 0.0), *(Step(i, name, 1.0, 0.0) for i, name in enumerate(names, start=1))]


def site(layer: str, count: int) -> SiteUnits:
    return SiteUnits(layer, [f"{layer}:{i}" for i in range(count)])


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_numbers_count_the_units_left_at_the_result():
    steps = removal("a:0", "b:1", "a:1", "a:2")
    assert words(draw_sites(steps, [site("a", 4), site("b", 2)], result_step=2)) == ["3 of 4", "1 of 2"]
    assert words(draw_sites(steps, [site("a", 4), site("b", 2)])) == ["1 of 4", "1 of 2"]


def test_a_band_goes_down_at_each_removal():
    band = _band([1, 3], units=4, last=4, base=0.0, room=1.0)
    assert band == [(0, 0), (0, 1), (1, 1), (1, 0.75), (3, 0.75), (3, 0.5), (4, 0.5), (4, 0)]


def test_a_long_band_keeps_its_last_stair():
    band = _band(list(range(1, 1001)), units=1000, last=1000, base=0.0, room=1.0)
    assert len(band) < 300
    assert band[-2] == (1000.0, 0.0)


@pytest.mark.parametrize("count", [1, 2, 20, MOST_BANDS + 1, 156])
def test_any_number_of_sites(count, tmp_path):
    sites = [site(f"block{i}.mlp", 5) for i in range(count)]
    figure = draw_sites(removal(*(f"block{i}.mlp:0" for i in range(count))), sites, result_step=0)
    assert save(figure, tmp_path / "s.png").exists()
    assert len(figure.axes[0].get_yticklabels()) >= min(count, 40)


def test_step_zero_alone():
    assert words(draw_sites(removal(), [site("a", 3)])) == ["3 of 3"]


def test_a_unit_of_no_site_is_refused():
    with pytest.raises(UnitError, match=r"step 1 removed 'c:0'"):
        draw_sites(removal("c:0"), [site("a", 3)])
    with pytest.raises(OptionError):
        draw_sites(removal(), [])
