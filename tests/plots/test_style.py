"""The house style: files, names and numbers; the user's matplotlib is left alone."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import pytest

from secateur.errors import OptionError
from secateur.plots import Run, draw_curves, save, style
from secateur.trace import Step

RUN = [Run("oracle", [Step(0, None, 1.0, 0.0), Step(1, "a:0", 2.0, 1.0)], 4, 1)]


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_save_writes_what_the_suffix_says_and_the_same_twice(suffix, magic, tmp_path):
    first = save(draw_curves(RUN), tmp_path / "deep" / f"a.{suffix}").read_bytes()
    second = save(draw_curves(RUN), tmp_path / f"b.{suffix}").read_bytes()
    assert first.startswith(magic)
    assert first == second
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["deep", f"b.{suffix}"])


def test_save_refuses_another_suffix(tmp_path):
    with pytest.raises(OptionError, match=r"'a\.gif'.*\.png, \.svg, \.pdf"):
        save(draw_curves(RUN), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_settings_of_the_user_stay(tmp_path):
    before = dict(matplotlib.rcParams)
    save(draw_curves(RUN), tmp_path / "a.svg")
    assert dict(matplotlib.rcParams) == before


def test_the_package_imports_without_matplotlib_and_never_loads_pyplot():
    code = (
        "import sys, secateur.plots as p, secateur.report as r; assert 'matplotlib' not in sys.modules;"
        "p.draw_curves; r.write_report; assert 'matplotlib' in sys.modules;"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_dollars_underscores_and_control_characters_are_drawn_as_they_are(tmp_path):
    figure = draw_curves([Run("_a $x^$ <b>\n\x00", RUN[0].steps), Run("日本語", RUN[0].steps)])
    text = save(figure, tmp_path / "a.svg").read_text()
    assert "_a $x^$ &lt;b&gt;" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.001, "0.001"),
        (0.25, "0.25"),
        (-2.5, "\N{MINUS SIGN}2.5"),
        (1000.0, "1,000"),
        (1e6, "10⁶"),
        (3e-8, "3·10⁻⁸"),
        (1e-12, "10⁻¹²"),
    ],
)
def test_numbers_of_ticks(value, text):
    assert style.number(value) == text


def test_long_names_keep_both_ends():
    assert style.short("a" * 100 + ":511", 20) == "aaaaaaaaaa…aaaaa:511"
    assert style.short("fc1:3") == "fc1:3"
