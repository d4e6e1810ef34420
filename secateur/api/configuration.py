"""What run.json holds of a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from secateur import criteria, metrics, oracle
from secateur.gated import GatedLoss, weights_digest

CriterionName = str | criteria.Criterion
EngineName = str | oracle.Engine | None
MetricName = str | metrics.Metric


def configuration_of(
    gated: GatedLoss,
    judged: GatedLoss,
    criterion: CriterionName,
    engine: EngineName,
    rerank_every: int | None,
    min_units_per_site: int,
    watched: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """What run.json holds: all that decides, and under "info" what merely tells."""
    if criterion == "oracle" and engine is None:
        engine = "exact"
    return {
        "network": type(gated.model).__name__,
        "weights": weights_digest(gated.model),
        "criterion": _called(criterion),
        "engine": None if engine is None else _called(engine),
        "rerank_every": rerank_every,
        "off": gated.off,
        "loss": _called(gated.loss),
        "min_units_per_site": min_units_per_site,
        "examples": len(gated.examples),
        "data": gated.examples.digest,
        "validation": None if judged is gated else {"examples": len(judged.examples), "data": judged.examples.digest},
        "metrics": list(watched),
        "seed": seed,
        "tile": gated.tile,
        "dtype": str(gated.dtype).removeprefix("torch."),
        "device": gated.device.type,
        "threads": torch.get_num_threads(),
        "versions": {"secateur": _version(), "torch": torch.__version__, "python": platform.python_version()},
        "sites": [
            {"layer": site.layer, "kind": site.kind, "units": [gated.units[u].name for u in site.units]}
            for site in gated.units.sites
        ],
        "info": {
            "refused": [str(refusal) for refusal in gated.units.refused],
            "ranks": gated.executor.size,
            "max_memory": gated.max_memory,
        },
    }


def _called(value: Any) -> str:
    return value if isinstance(value, str) else getattr(value, "__qualname__", None) or repr(value)


def _version() -> str:
    from secateur import __version__

    return __version__
