"""secateur reproduce: the paper's figures, drawn anew beside the paper's own curves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from secateur.cli import show
from secateur.cli.app import DONE, FAILED
from secateur.cli.options import PLAINLY, Flag, OutputOptions
from secateur.errors import OptionError

if TYPE_CHECKING:
    from secateur.studies.reproduce import Outcome

MERGE, CLAIMS = "merge", "claims"


def reproduce(
    *figures: str,
    seeds: int | None = None,
    jobs: Annotated[int, Parameter(name=("--jobs", "-j"))] = 1,
    out: Path = Path("reproduction"),
    full: Flag = False,
    shard: str = "1/1",
    mnist: Path | None = None,
    output: OutputOptions = PLAINLY,
) -> int:
    """Train the paper's networks, prune them by every criterion, and draw its figures beside its own curves.

    What is done is kept in files; interrupted or killed, the same command goes on. `secateur reproduce merge DIR DIR`
    puts the parts of several machines into one folder. `secateur reproduce claims` puts the paper's twelve claims to
    the test instead, and writes claims.json, claims.md and the figures that decide them.

    Parameters
    ----------
    figures
        Figures or studies by name, such as cos-small or mnist-acc99-iterative-rerank; paper for all of the paper's;
        all for those beyond it too. By default all. (An unknown name is answered with all there are.)
    seeds
        How many networks of each, trained from seeds 0, 1 ... By default what the setting says.
    jobs
        How many processes, of one thread each.
    out
        The folder for figures (PDF, SVG, PNG and CSV), agreement.json, and what was measured.
    full
        As many networks as the claims need, with every example: hours. By default the quick setting: minutes.
    shard
        i/n: only every n-th job, from the i-th on, for n machines.
    mnist
        The folder of MNIST's four files, which some studies need. By default SECATEUR_MNIST, or the user's cache.
    """
    if jobs < 1:
        raise OptionError(f"got --jobs {jobs}; expected 1 process or more")
    with show.results_only():
        from secateur.studies import reproduce as studies
    if mnist is not None:
        os.environ["SECATEUR_MNIST"] = str(mnist.expanduser().absolute())  # the processes inherit it
    if CLAIMS in figures:
        if len(figures) > 1 or shard != "1/1":
            raise OptionError(
                f"got {' '.join(figures)} with shard {shard}; expected claims alone: secateur reproduce claims"
            )
        return _claims(seeds, jobs, out, full, output)
    if figures[:1] == (MERGE,):
        if len(figures) < 2:
            raise OptionError("got no folder to merge; expected secateur reproduce merge DIR ... --out DIR")
        outcome = studies.merge([Path(part) for part in figures[1:]], out)
    else:
        wanted = studies.Wanted(figures or (studies.ALL,), seeds, full)
        with _progress(not output.quiet) as told:
            try:
                outcome = studies.reproduce(wanted, out, processes=jobs, shard=shard, told=told)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"interrupted; {out} holds what was done, the same command goes on.") from None
    if output.json:
        show.document({"command": "reproduce", "out": str(out), **asdict(outcome)})
    elif not output.quiet:
        _tell(outcome, out)
    for failure in outcome.failed:
        show.line(failure)
    return FAILED if outcome.failed else DONE


def _claims(seeds: int | None, jobs: int, out: Path, full: bool, output: OutputOptions) -> int:
    from secateur.studies.claims.run import reproduce_claims

    command = " ".join(
        ["secateur reproduce claims", *(["--full"] if full else []), *([f"--seeds {seeds}"] if seeds else [])]
    )
    with _progress(not output.quiet) as told:
        try:
            document = reproduce_claims(out, seeds=seeds, full=full, processes=jobs, told=told, command=command)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; {out} holds what was done, the same command goes on.") from None
    if output.json:
        show.document({"command": "reproduce", "out": str(out), "claims": document["claims"]})
    elif not output.quiet:
        for entry in document["claims"]:
            show.text(f"{entry['id']:2}  {entry['verdict']:9}  {entry['title']}")
        show.text(f"The page is {out / 'claims.md'}, the numbers are in {out / 'claims.json'}.")
    for failure in document.get("failed", []):
        show.line(failure)
    return FAILED if "failed" in document else DONE


def _tell(outcome: Outcome, out: Path) -> None:
    for reason in dict.fromkeys(outcome.skipped.values()):
        names = [name for name, why in outcome.skipped.items() if why == reason]
        show.text(f"Skipped {', '.join(names)}: {reason}")
    if outcome.left_out:
        show.text(f"In no figure, since they learnt nothing: {'; '.join(outcome.left_out)}.")
    rows = [
        [figure, criterion, mark.replace("_", " "), _cell(both["paper"].get(mark)), _own(own), str(own["networks"])]
        for figure, criteria in outcome.agreement.items()
        for criterion, both in criteria.items()
        for mark, own in both["ours"].items()
    ]
    if rows:
        headings = ["figure", "criterion", "removals at which", "the paper", "ours (lowest to highest)", "networks"]
        show.table(headings, rows)
    show.text(f"{outcome.made} networks trained and pruned, {outcome.kept} were there; {outcome.waiting} are missing.")
    show.text(f"{len(outcome.figures)} figures in {out / 'figures'}; the table is {out / 'agreement.csv'}.")


def _cell(value: int | None) -> str:
    return "never, or not known" if value is None else str(value)


def _own(summary: dict[str, Any]) -> str:
    low, middle, high = ("never" if summary[key] is None else str(summary[key]) for key in ("low", "median", "high"))
    return middle if summary["networks"] == 1 else f"{middle} ({low} to {high})"


@contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[Any, str], object]]:
    """Each job as it is done, on standard error, where that is a terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda job, error: None
        return
    from rich.console import Console

    console, done = Console(stderr=True), [0]

    def told(job: Any, error: str) -> None:
        done[0] += 1
        console.print(f"{done[0]:4} {'failed' if error else 'done'}: {job}", highlight=False, markup=False)

    yield told
