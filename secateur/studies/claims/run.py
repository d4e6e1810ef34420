"""All of it: do the experiments, decide the claims, write claims.json, its figures and claims.md."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from secateur.errors import OptionError
from secateur.studies import store
from secateur.studies.claims import tasks
from secateur.studies.claims.decision import UNDECIDED, claim_p, combine, decide, holm
from secateur.studies.claims.networks import Effort
from secateur.studies.claims.registry import Claim, claims, setting
from secateur.studies.claims.tasks import Record, Told

Document = dict[str, Any]


def effort(full: bool) -> Effort:
    """That of the quick setting, or of the full one."""
    return Effort() if full else Effort(setting().quick_examples, setting().quick_epochs)


def reproduce_claims(
    out: Path,
    *,
    seeds: int | None = None,
    full: bool = False,
    processes: int = 1,
    told: Told = lambda task, error: None,
    command: str = "",
) -> Document:
    """Measure what is not measured yet, and write claims.json, claims.md and images/claims/ into a folder.

    Killed at any instant, the same call goes on. `command` is what the page says made it.

    Raises: OptionError for less than one network; RunError for a record that is damaged.
    """
    if seeds is not None and seeds < 1:
        raise OptionError(f"got seeds={seeds}; expected 1 network or more")
    from secateur.studies.claims import page, pictures

    count = seeds or (setting().seeds if full else setting().quick_seeds)
    wanted = tasks.tasks_of(count, effort(full))
    failed = tasks.run(out, wanted, processes, told)
    records = tasks.read(out, wanted)
    document: Document = {"command": command, "full": full, "seeds": list(range(count)), "claims": entries(records)}
    document = _strict(document | ({"failed": failed} if failed else {}))
    store.write_text(out / "claims.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    pictures.draw(records, out / "images" / "claims")
    store.write_text(out / "claims.md", page.write(document))
    return document


def entries(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The twelve entries of claims.json, with p corrected by Holm over them.

    A claim whose corrected p is above 0.05 is undecided, whatever its parts say.
    """
    registered = claims()
    decided = [
        [decide(_values(records, part.experiment, part.name)[1], part, setting().confidence) for part in claim.parts]
        for claim in registered
    ]
    corrected = holm([claim_p(parts) for parts in decided])
    found = []
    for claim, parts, p in zip(registered, decided, corrected, strict=True):
        rule = combine([part.verdict for part in parts])
        found.append(
            {
                "id": claim.id,
                "kind": claim.kind,
                "title": claim.title,
                "decides": claim.decides,
                "networks": claim.networks,
                "split": claim.split,
                "figure": f"images/claims/{claim.figure}.svg",
                "verdict": rule if p <= 1 - setting().confidence else UNDECIDED,
                "p_holm": p,
                "parts": [_part(records, claim, at) | asdict(part) for at, part in enumerate(parts)],
                "beside": _beside(records, claim),
            }
        )
    return found


def _part(records: Sequence[Record], claim: Claim, at: int) -> dict[str, Any]:
    part = claim.parts[at]
    seeds, values = _values(records, part.experiment, part.name)
    return asdict(part) | {"seeds": seeds, "values": values}


def _values(records: Sequence[Record], experiment: str, name: str) -> tuple[list[int], list[float]]:
    """Seeds and values of one number, NaN where a network has none."""
    of = sorted((r for r in records if r["experiment"] == experiment), key=lambda record: record["seed"])
    values = [record["values"].get(name) for record in of]
    return [record["seed"] for record in of], [math.nan if value is None else float(value) for value in values]


def _beside(records: Sequence[Record], claim: Claim) -> dict[str, float]:
    """The means of all that its experiments measured besides, by "experiment.name"."""
    found = {}
    for experiment in claim.experiments:
        names = dict.fromkeys(name for r in records if r["experiment"] == experiment for name in r["values"])
        for name in names:
            values = [value for value in _values(records, experiment, name)[1] if math.isfinite(value)]
            if values:
                found[f"{experiment}.{name}"] = fmean(values)
    return found


def _strict(value: Any) -> Any:
    """Null for every float that JSON lacks; six digits of the others, which no machine's rounding changes."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
