"""The layers in pyproject.toml are watched: an import that points upward is found, and a module in no layer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with its contracts."""
    shutil.copytree(ROOT / "secateur", tmp_path / "secateur", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> tuple[bool, str]:
    """Whether the contracts hold, and what was printed."""
    call = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", call], cwd=tree, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def test_an_upward_import_is_found(tree: Path) -> None:
    with (tree / "secateur" / "errors.py").open("a") as file:
        file.write("\n\ndef late():\n    from secateur import gated\n\n    return gated\n")
    kept, output = lint(tree)
    assert not kept
    assert "secateur.errors -> secateur.gated" in output


def test_a_module_in_no_layer_is_found(tree: Path) -> None:
    (tree / "secateur" / "stray.py").touch()
    kept, output = lint(tree)
    assert not kept
    assert "stray" in output


def test_the_tree_as_it_stands_is_clean(tree: Path) -> None:
    kept, output = lint(tree)
    assert kept, output
