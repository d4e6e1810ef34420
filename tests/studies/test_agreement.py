"""The marks: hand-made curves, and the paper's own."""

from __future__ import annotations

import pytest

from secateur.studies import STUDIES
from secateur.studies.agreement import GROWS, _summary, falls, grows, papers, to_markdown


def test_falls() -> None:
    accuracy = [0.99, 0.98, 0.979, 0.985, 0.90]
    assert falls(accuracy, 0.99, 0.01) == 2  # 0.98 is one point lower, and no more
    assert falls(accuracy, 0.99, 0.05) == 4
    assert falls(accuracy, 0.99, 0.1) is None
    assert falls(accuracy[1:], 0.99, 0.01, first=1) == 2


def test_grows() -> None:
    assert grows([0.5, 4.99, 5.0]) == 3
    assert grows([0.5, 4.99]) is None
    assert grows([0.0, 4.99]) is None
    assert grows([]) is None


def test_summary_counts_never_as_late() -> None:
    assert _summary([3, None, 5]) == {"median": 5, "low": 3, "high": None, "networks": 3, "never": 1}
    assert _summary([None, None, 5])["median"] is None
    assert _summary([1, 2, 3, 4])["median"] == 3


@pytest.mark.parametrize(
    ("study", "criterion", "point", "tenfold"),
    [("mnist-acc99", "oracle", 30, 64), ("mnist-acc99", "taylor1", 5, 15), ("diamond", "oracle", 57, 68)],
)
def test_the_papers_marks(study: str, criterion: str, point: int, tenfold: int) -> None:
    """Read off paper_curves.csv by eye."""
    found = papers(STUDIES[study], STUDIES[study].figures[0], criterion)
    assert found["accuracy_falls_1_point"] == point
    assert found["error_grows_tenfold"] == tenfold


def test_what_the_paper_cannot_tell() -> None:
    found = papers(STUDIES["cos-big"], STUDIES["cos-big"].figures[0], "oracle")
    assert found["error_grows_tenfold"] is None
    assert "within what it was read to" in found["note"]


def test_a_table_for_readers() -> None:
    """Never, not known, and one number where all networks agree."""
    own = {"median": 3, "low": 3, "high": None, "networks": 2, "never": 1}
    same = {"median": 4, "low": 4, "high": 4, "networks": 2, "never": 0}
    table = {
        "a": {
            "oracle": {
                "paper": {"accuracy_falls_1_point": None, GROWS: None, "note": "not read"},
                "ours": {"accuracy_falls_1_point": own, "accuracy_falls_5_points": same, GROWS: same},
            }
        },
        "b": {"taylor1": {"paper": {GROWS: 7}, "ours": {GROWS: own}}},
    }
    assert to_markdown(table).splitlines() == [
        "| figure (networks) | criterion | −1 point | −5 points | E x 10 |",
        "|---|---|---|---|---|",
        "| a (2) | oracle | – / 3 (3 to –) | ? / 4 | ? / 4 |",
        "| b (2) | taylor1 |  |  | 7 / 3 (3 to –) |",
    ]
