"""secateur surface: the error while the output of single units is multiplied."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from secateur import stopping
from secateur.cli import inputs, show
from secateur.cli.app import DONE
from secateur.cli.options import (
    BY_LOSS,
    BY_ORACLE,
    PLAINLY,
    ErrorOptions,
    NetworkOptions,
    OutputOptions,
    RankingOptions,
    Several,
    names,
)
from secateur.errors import OptionError


def surface(
    network: NetworkOptions,
    *,
    error: ErrorOptions = BY_LOSS,
    ranking: RankingOptions = BY_ORACLE,
    units: Several = None,
    first: int = 6,
    gain: Annotated[float, Parameter(name="--most-gain")] = 10.0,
    points: int = 201,
    out: Path | None = None,
    output: OutputOptions = PLAINLY,
) -> int:
    """Draw the error while the output of single units is multiplied: the paper's gain curves.

    E(1 + (a - 1) e_u) for gains a from 0 (the unit is off) over 1 (the network as it is) to 10.

    Parameters
    ----------
    units
        The units, as in fc1:3 fc1:17, all others being on.
    first
        Without --units: the first units to go by the criterion, ranked again after each, and each with those before it
        off.
    gain
        The largest gain.
    points
        How many gains, evenly spread from 0; 1 is added where it is none of them.
    out
        A folder for gains.png, gains.svg, gains.csv and gains.json.
    """
    if not gain > 0 or points < 2 or first < 1:
        raise OptionError(f"got --most-gain {gain:g}, --points {points}, --first {first}; expected above 0, 2 or more, "
                          "1 or more.")  # fmt: skip
    gains = sorted({round(gain * at / (points - 1), 12) for at in range(points)} | {1.0})
    with show.results_only():
        curves = _curves(network, error, ranking, names(units), first, gains, progress=not output.quiet)
        files = {} if out is None else _write(out, curves)
    if output.json:
        show.document({"command": "surface", "curves": curves, "files": files})
    elif not output.quiet:
        rows = []
        for curve in curves:
            at = dict(zip(gains, curve["errors"], strict=True))
            best = min(gains, key=at.__getitem__)
            rows.append([curve["unit"], str(curve["step"]), *map(show.number, (at[0.0], at[1.0], at[gains[-1]], best))])
        headings = ["unit", "units off before", "E at 0 (off)", "E at 1", f"E at {gains[-1]:g}", "gain of least E"]
        show.table(headings, rows)
        show.text(f"Written to {out}." if files else "Nothing was written: pass --out for the figure and the numbers.")
    return DONE


def _curves(
    network: NetworkOptions,
    error: ErrorOptions,
    ranking: RankingOptions,
    wanted: list[str] | None,
    first: int,
    gains: list[float],
    progress: bool,
) -> list[dict[str, Any]]:
    import torch

    from secateur.analysis import gain_curve
    from secateur.api import prune
    from secateur.gated import GatedLoss

    model = inputs.network(network)
    data, chosen = inputs.data(network, model), inputs.loss(error.loss)
    if wanted:
        loss = GatedLoss(
            model, data, chosen, off=error.off, tile=error.tile, device=network.device, max_memory=error.max_memory
        )
        turns = [(loss.units[name].name, 0, None) for name in wanted]
    else:
        result = prune(
            model,
            data,
            loss=chosen,
            criterion=ranking.criterion,
            engine=ranking.engine,
            off=error.off,
            stop=stopping.units(first),
            metrics=(),
            tile=error.tile,
            max_memory=error.max_memory,
            device=network.device,
            seed=ranking.seed,
            progress=progress,
        )
        loss, gone, turns = result.loss, [unit.name for unit in result.removed], []
        for step, name in enumerate(gone):
            off = set(loss.units.positions(gone[:step]))
            turns.append((name, step, torch.tensor([u for u in range(len(loss.units)) if u not in off])))
    return [
        {"unit": name, "step": step, "errors": gain_curve(loss, name, gains, alive).tolist(), "gains": gains}
        for name, step, alive in turns
    ]


def _write(out: Path, curves: list[dict[str, Any]]) -> dict[str, str]:
    from secateur.plots import GainLine, draw_gains, save

    figure = draw_gains([GainLine(c["unit"], c["gains"], c["errors"], c["step"]) for c in curves])
    files = {suffix: save(figure, out / f"gains.{suffix}") for suffix in ("png", "svg")}
    files["csv"], files["json"] = out / "gains.csv", out / "gains.json"
    with files["csv"].open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["unit", "step", "gain", "error"])
        for curve in curves:
            rows.writerows(
                [curve["unit"], curve["step"], a, e] for a, e in zip(curve["gains"], curve["errors"], strict=True)
            )
    files["json"].write_text(json.dumps(show.strict({"curves": curves}), allow_nan=False) + "\n", encoding="utf-8")
    return {name: str(path) for name, path in files.items()}
