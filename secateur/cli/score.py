"""secateur score: every unit, the least useful first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secateur.cli import inputs, ranks, show
from secateur.cli.app import DONE
from secateur.cli.options import (
    BY_LOSS,
    BY_ORACLE,
    PLAINLY,
    ErrorOptions,
    NetworkOptions,
    OutputOptions,
    RankingOptions,
)


def score(
    network: NetworkOptions,
    *,
    error: ErrorOptions = BY_LOSS,
    ranking: RankingOptions = BY_ORACLE,
    csv: Path | None = None,
    limit: Annotated[int, Parameter(show_default=True)] = 20,
    output: OutputOptions = PLAINLY,
) -> int:
    """Score every unit: by default the true change of error when it is switched off.

    The lowest goes first when the network is pruned; below 0 the error falls when the unit goes.

    Parameters
    ----------
    csv
        Write all scores there, lowest first.
    limit
        How many units the table shows; 0 for all.
    """
    with show.results_only():
        from secateur.api import score as score_network

        model = inputs.network(network)
        scores = score_network(
            model,
            inputs.data(network, model),
            loss=inputs.loss(error.loss),
            criterion=ranking.criterion,
            engine=ranking.engine,
            off=error.off,
            tile=error.tile,
            max_memory=error.max_memory,
            device=network.device,
            seed=ranking.seed,
        )
    values = scores.values.tolist()
    order = sorted(range(len(values)), key=lambda at: (math.isnan(values[at]), values[at], at))
    rows = [(scores.units[at], values[at]) for at in order]
    if csv is not None and ranks.rank() == 0:
        lines = [f"{unit.name},{unit.kind},{'' if math.isnan(value) else repr(value)}" for unit, value in rows]
        csv.parent.mkdir(parents=True, exist_ok=True)
        csv.write_text("\n".join(["unit,kind,score", *lines]) + "\n", encoding="utf-8")
    if output.json:
        show.document(
            {
                "command": "score",
                "network": type(model).__name__,
                "criterion": ranking.criterion,
                "engine": ranking.engine,
                "loss": error.loss,
                "off": error.off,
                "units": [
                    {"unit": unit.name, "layer": unit.layer, "index": unit.index, "kind": unit.kind, "score": value}
                    for unit, value in rows
                ],
                "refused": [str(refusal) for refusal in scores.units.refused],
            }
        )
    elif not output.quiet:
        shown = rows if limit <= 0 else rows[:limit]
        title = f"{type(model).__name__}: {len(rows):,} units by {ranking.criterion}, lowest first"
        show.table(["unit", "kind", "score"], [[u.name, u.kind, show.number(v)] for u, v in shown], title, left=2)
        if len(shown) < len(rows):
            show.text(f"and {len(rows) - len(shown):,} more: --limit 0 shows, --csv or --json writes all.")
        for refusal in scores.units.refused:
            show.line(f"refused: {refusal}")
    return DONE
