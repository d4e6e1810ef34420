"""Figures, one type a file. Each function returns a matplotlib Figure; `save` writes one.

    curves.py   error and metrics against units removed, several criteria in one figure
    schedules.py  the same for several schedules, below each other
    gain.py     error against the gain of one unit, in log and in real space
    sites.py    which site lost its units, and when
    interactions.py  the interaction of every pair of units, clustered
    roles.py    how many units of each role a layer has, and what each costs
    best_subset.py  the true optimum at every size beside greedy curves
    fidelity.py  a criterion's estimates against the truth
    fault_tolerance.py  error and accuracy while units fail, in three orders
    layers.py   how many units each layer has left
    style.py    fonts, colours, sizes and spines: the only place that knows them

Nothing here imports matplotlib until a figure is asked for, and nothing touches pyplot's global state.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.plots.best_subset import draw_best_subset
    from secateur.plots.curves import Run, draw_curves
    from secateur.plots.fault_tolerance import draw_fault_tolerance
    from secateur.plots.fidelity import draw_fidelity
    from secateur.plots.gain import GainLine, draw_gains
    from secateur.plots.interactions import draw_interactions
    from secateur.plots.layers import draw_layers
    from secateur.plots.roles import draw_roles
    from secateur.plots.sites import SiteUnits, draw_sites
    from secateur.plots.style import save

__all__ = [
    "GainLine",
    "Run",
    "SiteUnits",
    "draw_best_subset",
    "draw_curves",
    "draw_fault_tolerance",
    "draw_fidelity",
    "draw_gains",
    "draw_interactions",
    "draw_layers",
    "draw_roles",
    "draw_sites",
    "save",
]

_HOME = {
    "Run": "curves",
    "draw_curves": "curves",
    "GainLine": "gain",
    "draw_gains": "gain",
    "SiteUnits": "sites",
    "draw_sites": "sites",
    "draw_interactions": "interactions",
    "draw_roles": "roles",
    "draw_best_subset": "best_subset",
    "draw_fidelity": "fidelity",
    "draw_fault_tolerance": "fault_tolerance",
    "draw_layers": "layers",
    "save": "style",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
