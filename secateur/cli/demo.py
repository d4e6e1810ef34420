"""secateur demo: a real network shrinks, decision by decision, with the truth beside each criterion."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secateur.cli import show
from secateur.cli.app import DONE
from secateur.cli.options import PLAINLY, OutputOptions

if TYPE_CHECKING:
    from secateur.demo import Demo


def demo(*, out: Path = Path("demo"), seed: int = 0, output: OutputOptions = PLAINLY) -> int:
    """Train a small network, prune it by six criteria in two ways, and show what was found.

    The network is the paper's 400-100-10 on 5,000 digits of 20x20; it is trained once and then kept in the user's
    cache. Run again, the demo goes on where it was interrupted, and keeps what is there.

    Parameters
    ----------
    out
        The folder for the table, the figures, and the runs with their reports and pruned networks.
    seed
        Of the training, and of the criterion random.
    """
    say = show.text if not (output.json or output.quiet) else lambda words="": None
    with show.results_only():
        from secateur import demo as demo_module

    start = time.perf_counter()
    subject, seconds = demo_module.subject(seed, progress=not output.quiet)
    fit, stop, kept = (subject.accuracy(subject.model, use) for use in ("fit", "stop", "report"))
    say(f"A 400-100-10 sigmoid network, trained on 5,000 digits ({seconds:.0f} s): accuracy {fit:.4f} in training,")
    say(f"{stop:.3f} on 500 digits held out, {kept:.3f} on 500 more that no decision sees.")
    with show.status(wanted=not output.quiet) as told:
        made = demo_module.Demo(out, subject, seed, told=told)
        try:
            made.make()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; {out} holds what was done, and the same command goes on.") from None
    seconds = time.perf_counter() - start
    record = _record(made, {"training": fit, "held_out": stop, "report": kept}, seconds)
    if output.json:
        show.document(record)
    elif not output.quiet:
        _tell(made, record)
    return DONE


def _record(made: Demo, accuracy: dict[str, float], seconds: float) -> dict[str, Any]:
    best = made.results["oracle", "iterative"]
    return {
        "command": "demo",
        "seed": made.seed,
        "accuracy": accuracy,
        "shares": [asdict(share) for share in made.shares],
        "bundle": {
            "path": str(made.folder("oracle", "iterative") / "bundle"),
            "units": [len(best.units), len(best.units) - best.step.step],
            "parameters": [best.trace.steps[0].params, best.step.params],
            "report_accuracy": made.subject.accuracy(best.model, "report"),
        },
        "runs": len(made.results),
        "runs_made": made.made,
        "seconds": round(seconds, 1),
    }


def _tell(made: Demo, record: dict[str, Any]) -> None:
    from secateur.demo import POINTS, RANKED

    reused = record["runs"] - record["runs_made"]
    if reused:
        show.text(f"{reused} of {record['runs']} runs were finished already, and were kept.")
    rows = []
    for share in made.shares:
        rows.append(
            [share.criterion, RANKED[share.schedule], *(f"{100 * s:.0f}%" for s in (*share.training, *share.held_out))]
        )
    sections = [at for at in range(len(rows) - 1) if rows[at][1] != rows[at + 1][1]]
    losses = [f"\N{MINUS SIGN}{100 * points:g} point{'s' * (points != 0.01)}" for points in POINTS]
    headings = ["criterion", "ranked", *(f"{name}\n{lost}" for name in ("training", "held out") for lost in losses)]
    show.text()
    show.table(headings, rows, "Share of units gone when accuracy has lost 1 point and 5 points", 2, sections)
    show.text(lesson(made, record))
    show.text()
    folder = made.folder("oracle", "iterative")
    show.text(f"The picture:        {made.out / 'curves.png'}")
    show.text(f"The oracle's run:   {folder / 'report.html'}")
    show.text(f"A pruned network:   {folder / 'bundle'}")
    show.text(f"Everything else:    {made.out} ({record['seconds']:.0f} s in all)")


def lesson(made: Demo, record: dict[str, Any]) -> str:
    """What the results say, in numbers taken from them."""
    gone = {(share.criterion, share.schedule): f"{100 * share.training[0]:.0f}%" for share in made.shares}
    others = [criterion for criterion in made.criteria if criterion in ("oracle", "taylor1", "taylor2")]
    turns = [f"{c} {gone[c, 'iterative']} instead of {gone[c, 'single']}" for c in others]
    units, parameters = record["bundle"]["units"], record["bundle"]["parameters"]
    return (
        "What ranking again brings, at one point of training accuracy lost: "
        f"{', '.join(turns)}; random removes {gone['random', 'single']}.\n"
        f"The oracle's network at one point of held-out accuracy lost has {units[1]} of {units[0]} units and "
        f"{parameters[1]:,} of {parameters[0]:,} parameters;\non the 500 digits that no decision saw, accuracy "
        f"{record['accuracy']['report']:.3f} became {record['bundle']['report_accuracy']:.3f}."
    )
