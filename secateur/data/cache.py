"""Where downloaded data and trained weights are kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be made again: downloads and trained weights.

    `SECATEUR_CACHE` if set; else the platform's usual place: `~/Library/Caches/secateur` (macOS),
    `%LOCALAPPDATA%\\secateur\\Cache` (Windows), `$XDG_CACHE_HOME/secateur` or `~/.cache/secateur` (elsewhere).
    Nothing is created here.

    Source:
        XDG Base Directory Specification.

    >>> cache_folder().is_absolute()
    True
    """
    chosen = os.environ.get("SECATEUR_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "secateur"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "secateur" / "Cache"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "secateur"
