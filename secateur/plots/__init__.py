"""Figures, one type a file. Each function returns a matplotlib Figure; `save` writes one.

    curves.py   error and metrics against units removed, several criteria in one figure
    schedules.py  the same for several schedules, below each other
    gain.py     error against the gain of one unit, in log and in real space
    sites.py    which site lost its units, and when
    style.py    fonts, colours, sizes and spines: the only place that knows them

Nothing here imports matplotlib until a figure is asked for, and nothing touches pyplot's global state.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.plots.curves import Run, draw_curves
    from secateur.plots.gain import GainLine, draw_gains
    from secateur.plots.sites import SiteUnits, draw_sites
    from secateur.plots.style import save

__all__ = ["GainLine", "Run", "SiteUnits", "draw_curves", "draw_gains", "draw_sites", "save"]

_HOME = {
    "Run": "curves",
    "draw_curves": "curves",
    "GainLine": "gain",
    "draw_gains": "gain",
    "SiteUnits": "sites",
    "draw_sites": "sites",
    "save": "style",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
