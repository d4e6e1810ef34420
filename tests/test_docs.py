"""What the documentation promises is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from secateur.criteria import CRITERIA

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", CRITERIA)
def test_every_criterion_is_described(name: str) -> None:
    table = [line for line in (ROOT / "docs" / "criteria.md").read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in line.split("|")[1] for line in table), f"docs/criteria.md has no row for {name}"


def test_criteria_that_are_described_exist() -> None:
    table = [line for line in (ROOT / "docs" / "criteria.md").read_text().splitlines() if line.startswith("| `")]
    assert {name for line in table for name in re.findall(r"`(\w+)`", line.split("|")[1])} == set(CRITERIA)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/design.md",
        "docs/criteria.md",
        "docs/oracle.md",
        "docs/analysis.md",
        "docs/studies.md",
        "CHANGELOG.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert all((ROOT / page).parent.joinpath(target).exists() for target in targets), targets
