"""STYLE rule 6, mechanically: what is public says what it does, in the house order, with an example that runs.

The order: a sentence; the formula; Shape; Units; Raises; Source; a doctest. Sections may be missing, the sentence may
not, and a function needs the doctest.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import secateur

EXPORTED = [name for name in getattr(secateur, "__all__", ()) if not name.startswith("__")]
SECTIONS = ("Shape", "Units", "Raises", "Source")
HEADING = re.compile(rf"^({'|'.join(SECTIONS)})s?:", re.MULTILINE)
MISSPELT = re.compile(r"^(Shapes?|Units?|Raises?|Sources?|References?|Examples?) *$", re.MULTILINE | re.IGNORECASE)


def faults(thing: Any) -> list[str]:
    """What is wrong with the docstring of a function, class or module; empty if nothing is.

    >>> faults(len)
    ['no doctest']
    """
    text = inspect.cleandoc(thing.__doc__ or "")
    made_by_dataclass = inspect.isclass(thing) and text.startswith(f"{thing.__name__}(")
    if not text or made_by_dataclass:
        return ["no docstring"]

    found = []
    if not re.search(r"[.!?:]$", text.split("\n\n")[0].rstrip()):
        found.append("does not begin with a sentence")
    headings = [match.group(1) for match in HEADING.finditer(text)]
    if headings != sorted(headings, key=SECTIONS.index):
        found.append(f"sections in the order {headings}, expected {[name for name in SECTIONS if name in headings]}")
    if len(headings) != len(set(headings)):
        found.append(f"a section twice in {headings}")
    found += [f"heading {line.group(0)!r} is no section of the house" for line in MISSPELT.finditer(text)]
    examples = doctest.DocTestParser().get_examples(text)
    if inspect.isroutine(thing) and not examples:
        found.append("no doctest")
    if examples and headings and text.rindex(f"{headings[-1]}") > text.index(">>>"):
        found.append(f"{headings[-1]} after the doctest")
    return found


def registered_criteria() -> dict[str, Callable[..., Any]]:
    """All criteria by name, from the one table in secateur.criteria that holds the magnitude."""
    module = importlib.import_module("secateur.criteria")
    tables = [value for value in vars(module).values() if isinstance(value, Mapping) and "magnitude" in value]
    return dict(tables[0]) if tables else {}


def test_something_is_exported() -> None:
    assert EXPORTED, "secateur.__all__ is empty: nothing would be checked"
    assert len(EXPORTED) == len(set(EXPORTED))


@pytest.mark.parametrize("name", EXPORTED)
def test_exported(name: str) -> None:
    thing = getattr(secateur, name)
    if inspect.ismodule(thing) or callable(thing):
        assert faults(thing) == []


def test_criteria() -> None:
    criteria = registered_criteria()
    assert criteria, "no registry of criteria was found in secateur.criteria"
    found = {name: faults(criterion) for name, criterion in criteria.items()}
    # A criterion may be an object (the oracle): then its class speaks, and the conformance suite gives the example.
    found = {name: [fault for fault in some if fault != "no doctest"] for name, some in found.items()}
    assert {name: some for name, some in found.items() if some} == {}


class TestTheCheckItself:
    """It must be able to fail."""

    def test_accepts_the_house_form(self) -> None:
        def good() -> None:
            """The score of each unit.

                s = E(1 - e) - E(1)

            Shape: (alive,)
            Units: change of error; negative is good.
            Raises:
                UnitError: no such unit.
            Source: Wolfe et al. 2017, Algorithm II.

            >>> 1 + 1
            2
            """

        assert faults(good) == []

    def test_finds_each_fault(self) -> None:
        def silent() -> None: ...

        def label() -> None:
            """scores

            >>> 1
            1
            """

        def disordered() -> None:
            """A sentence.

            Source: a paper.
            Shape: (alive,)

            >>> 1
            1
            """

        def early_example() -> None:
            """A sentence.

            >>> 1
            1

            Source: a paper.
            """

        def underlined() -> None:
            """A sentence.

            Raises
            ------
            >>> 1
            1
            """

        def no_example() -> None:
            """A sentence."""

        assert faults(silent) == ["no docstring"]
        assert faults(label) == ["does not begin with a sentence"]
        assert faults(disordered) == ["sections in the order ['Source', 'Shape'], expected ['Shape', 'Source']"]
        assert faults(early_example) == ["Source after the doctest"]
        assert faults(underlined) == ["heading 'Raises' is no section of the house"]
        assert faults(no_example) == ["no doctest"]

    def test_a_dataclass_must_speak_for_itself(self) -> None:
        from dataclasses import dataclass

        @dataclass
        class Silent:
            x: int

        assert faults(Silent) == ["no docstring"]
