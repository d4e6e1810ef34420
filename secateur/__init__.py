"""secateur prunes whole units (neurons, channels) from a trained PyTorch network without re-training it, and measures
what every decision costs.

    import secateur as sc

    result = sc.prune(model, (x, y), validation=(x_val, y_val), stop=sc.stop.metric_drop("accuracy", 0.01))
    result.model          # the smaller network, verified against the gated one
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from secateur import criteria, data, errors, zoo
    from secateur import stopping as stop
    from secateur.analysis import (
        best_subset,
        fault_tolerance,
        fidelity,
        free,
        gain_curve,
        interactions,
        knee,
        knees,
        roles,
        units_by_layer,
    )
    from secateur.api import Result, Scores, prune, score
    from secateur.gated import GatedLoss
    from secateur.io import load
    from secateur.surgery import cut, verify
    from secateur.trace import Step, Trace
    from secateur.types import Refusal, Site, Unit
    from secateur.units import UnitSet

# Where each name lives: imported when it is first asked for, since torch takes a second.
_HOMES = {
    "GatedLoss": "gated",
    "score": "api",
    "Scores": "api",
    "prune": "api",
    "Result": "api",
    "cut": "surgery",
    "verify": "surgery",
    "load": "io",
    "gain_curve": "analysis",
    "interactions": "analysis",
    "roles": "analysis",
    "best_subset": "analysis",
    "fault_tolerance": "analysis",
    "fidelity": "analysis",
    "free": "analysis",
    "knee": "analysis",
    "knees": "analysis",
    "units_by_layer": "analysis",
    "Trace": "trace",
    "Step": "trace",
    "UnitSet": "units",
    "Unit": "types",
    "Site": "types",
    "Refusal": "types",
}
_MODULES = {"stop": "stopping", "criteria": "criteria", "data": "data", "errors": "errors", "zoo": "zoo"}

__all__ = [
    "GatedLoss",
    "score",
    "Scores",
    "prune",
    "Result",
    "cut",
    "verify",
    "load",
    "gain_curve",
    "interactions",
    "roles",
    "best_subset",
    "fault_tolerance",
    "fidelity",
    "free",
    "knee",
    "knees",
    "units_by_layer",
    "Trace",
    "Step",
    "UnitSet",
    "Unit",
    "Site",
    "Refusal",
    "stop",
    "criteria",
    "data",
    "errors",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"secateur.{_HOMES[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"secateur.{_MODULES[name]}")
    raise AttributeError(f"module 'secateur' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
