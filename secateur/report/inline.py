"""Figures as inline SVG that follows the page's colours and keeps its identifiers to itself."""

from __future__ import annotations

import html
import io
import re
from itertools import pairwise

from matplotlib.figure import Figure

from secateur.plots import style

# Every colour that a figure may hold, by the variable of report.css that stands for it (which knows light and dark).
VARIABLES = {
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.RULE: "--rule",
    style.LEAF: "--leaf",
    style.CUT: "--cut",
}
VARIABLES |= {
    look.color: f"--line-{name.replace('_', '-')}" for name, look in style.CRITERIA.items() if name != "oracle"
}
VARIABLES |= {look.color: f"--spare-{i}" for i, look in enumerate(style.SPARE)}
VARIABLES |= {color: f"--ordinal-{i}" for i, color in enumerate(style.ORDINAL)}

_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an <svg> element, for use inside a page.

    Colours become the page's variables, the font the page's, numbers get two decimals, identifiers the prefix `name`
    (several figures share one page), and metadata goes: no address of any kind stays, but the SVG name space.
    """
    buffer = io.StringIO()
    with style.house_style():
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', head)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.S)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r"url\(#", f"url(#{name}-", rest)
    rest = re.sub(r'\b(?:xlink:)?href="#', f'href="#{name}-', rest)
    rest = re.sub(r"font-family: [^;\"]*; ?", "", rest)
    rest = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", rest)
    rest = re.sub(r'\bd="([^"]*)"', lambda path: f'd="{_relative(path.group(1))}"', rest)
    rest = re.sub(r"<(use|text|rect)\b[^>]*>", _shorten, rest)
    rest = re.sub(r"<g id=[^>]*/>|<!--.*?-->", "", rest)
    for color, variable in VARIABLES.items():
        rest = rest.replace(color, f"var({variable})")
    rest = re.sub(r"\n\s*", "\n", rest)
    view = box.group(1) if box else "0 0 500 300"
    return f'<svg class="figure" viewBox="{view}" role="img" aria-label="{html.escape(label)}">{rest.strip()}'


def _relative(path: str) -> str:
    """The same path in relative coordinates of one decimal: a long line takes half the bytes.

    >>> _relative("M 10.04 20 \\nL 30.26 20.5 \\nL 31 22 \\nz")
    'M10 20l20.3.5.7 1.5z'
    """
    words = path.split()
    if any(word.isalpha() and word not in "MLz" for word in words):  # a marker's curves: few, and small
        return _NUMBER.sub(_two_decimals, " ".join(words))
    made = ""
    at = (0, 0)
    numbers: list[str] = []
    for word, x, y in re.findall(r"([MLz])(?: (\S+) (\S+))?", " ".join(words)):
        if word == "L":
            here = round(float(x) * 10), round(float(y) * 10)
            numbers += [_tenths(here[0] - at[0]), _tenths(here[1] - at[1])]
            at = here
            continue
        made += f"l{_joined(numbers)}" if numbers else ""
        numbers = []
        if word == "M":
            at = round(float(x) * 10), round(float(y) * 10)
            made += f"M{_joined([_tenths(at[0]), _tenths(at[1])])}"
        else:
            made += "z"
    return made + (f"l{_joined(numbers)}" if numbers else "")


def _tenths(tenths: int) -> str:
    return f"{tenths / 10:g}".replace("0.", ".", 1) if abs(tenths) < 10 else f"{tenths / 10:.10g}"


def _joined(numbers: list[str]) -> str:
    """Numbers as a path wants them: a space only where two would run together."""
    text = numbers[0]
    for last, number in pairwise(numbers):
        text += number if number[0] == "-" or (number[0] == "." and "." in last) else f" {number}"
    return text


def _shorten(match: re.Match[str]) -> str:
    return _NUMBER.sub(_two_decimals, match.group())


def _two_decimals(number: re.Match[str]) -> str:
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")
