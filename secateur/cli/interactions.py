"""secateur interactions: what pairs of removals cost together beyond what they cost apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from secateur.cli import inputs, show
from secateur.cli.app import DONE
from secateur.cli.options import BY_LOSS, PLAINLY, ErrorOptions, NetworkOptions, OutputOptions, Several, names
from secateur.errors import OptionError


def interactions(
    network: NetworkOptions,
    *,
    error: ErrorOptions = BY_LOSS,
    units: Several = None,
    limit: int = 5,
    out: Path | None = None,
    output: OutputOptions = PLAINLY,
) -> int:
    """Measure every pair of units: what both removals cost together beyond what they cost apart.

    E(1 - e_u - e_v) - E(1 - e_u) - E(1 - e_v) + E(1): below 0 the two cancel each other, above 0 one stands in for the
    other.

    Parameters
    ----------
    units
        The units, as in fc1:3 fc1:17; all by default.
    limit
        How many pairs to print of either kind.
    out
        A folder for interactions.png, interactions.svg (a clustered map), interactions.csv and interactions.json.
    """
    if limit < 1:
        raise OptionError(f"got --limit {limit}; expected 1 or more.")
    with show.results_only():
        found = _measured(network, error, names(units))
        files = {} if out is None else _write(out, found)
    if output.json:
        show.document({"command": "interactions", **found, "files": files})
    elif not output.quiet:
        pairs = _pairs(found)
        for title, part in (("Cancel each other:", pairs[:limit]), ("Stand in for each other:", pairs[::-1][:limit])):
            rows = [[u, v, show.number(value)] for u, v, value in part if (value < 0) == title.startswith("Cancel")]
            show.table(["unit", "unit", "interaction"], rows, title, left=2)
        show.text(f"{len(pairs):,} pairs of {len(found['units'])} units; the error is {show.number(found['error'])}.")
        show.text(f"Written to {out}." if files else "Nothing was written: pass --out for the map and the numbers.")
    return DONE


def _measured(network: NetworkOptions, error: ErrorOptions, wanted: list[str] | None) -> dict[str, Any]:
    from secateur import analysis
    from secateur.gated import GatedLoss

    model = inputs.network(network)
    data, chosen = inputs.data(network, model), inputs.loss(error.loss)
    loss = GatedLoss(model, data, chosen, off=error.off, tile=error.tile, device=network.device)
    positions = loss.units.positions(wanted or range(len(loss.units)))
    if len(positions) < 2:
        raise OptionError(f"got {len(positions)} unit; expected two or more, which make a pair.")
    values = analysis.interactions(loss, positions)
    return {
        "units": [loss.units[at].name for at in positions],
        "interactions": values.tolist(),
        "error": float(loss().detach()),
    }


def _pairs(found: dict[str, Any]) -> list[tuple[str, str, float]]:
    """All pairs, the most negative first."""
    units, values = found["units"], found["interactions"]
    pairs = [(u, v, values[i][j]) for i, u in enumerate(units) for j, v in enumerate(units) if i < j]
    return sorted(pairs, key=lambda pair: pair[2])


def _write(out: Path, found: dict[str, Any]) -> dict[str, str]:
    from secateur.plots import draw_interactions, save

    figure = draw_interactions(found["interactions"], found["units"])
    files = {suffix: save(figure, out / f"interactions.{suffix}") for suffix in ("png", "svg")}
    files["csv"], files["json"] = out / "interactions.csv", out / "interactions.json"
    with files["csv"].open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["unit", "other", "interaction"])
        rows.writerows(_pairs(found))
    files["json"].write_text(json.dumps(show.strict(found), allow_nan=False) + "\n", encoding="utf-8")
    return {name: str(path) for name, path in files.items()}
