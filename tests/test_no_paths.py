"""No file of the project names a directory of somebody's machine, or the host of a package registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# In pieces, so that this file passes its own test.
DIRECTORIES = ("work", "home", "root", "Users", "opt" + "/wheels")
HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("download", "pytorch", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("deb", "debian", "org"),
    ("anaconda", "org"),
)
PATH = re.compile(r"(?<![\w.$}~-])/(?:" + "|".join(DIRECTORIES) + r")/[\w.]")
HOST = re.compile("|".join(re.escape(".".join(parts)) for parts in HOSTS))


def files() -> list[Path]:
    """All files that are tracked, or would be."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listing, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def findings(text: str) -> list[str]:
    return [match.group(0) for pattern in (PATH, HOST) for match in pattern.finditer(text)]


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = {str(path.relative_to(ROOT)): findings(path.read_bytes().decode("latin-1")) for path in files()}
    assert Path(__file__).name in {Path(name).name for name in found}, "the listing is incomplete"
    assert {name: some for name, some in found.items() if some} == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("see " + "/" + "work/main/README.md", 1),
        ('"/' + "home/ada/x.py", 1),
        ("https://" + "pypi" + ".org/simple", 1),
        ("src/work/notes.md and https://example.com/home/x", 0),
    ],
)
def test_the_check_itself(text: str, count: int) -> None:
    assert len(findings(text)) == count
