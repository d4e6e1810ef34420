"""All of it: which studies, their jobs, and what is drawn from what is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secateur import data
from secateur.errors import DataError, OptionError, RunError, UnknownNameError
from secateur.studies import STUDIES, store
from secateur.studies.agreement import agreement, to_csv, to_markdown
from secateur.studies.draw import draw
from secateur.studies.jobs import jobs_of, share
from secateur.studies.plan import Study
from secateur.studies.pool import Told, run
from secateur.studies.store import Record

ALL, PAPERS = "all", "paper"
PLAN = "plan.json"


@dataclass(frozen=True)
class Wanted:
    """What to reproduce: figures or studies by name, how many networks of each, and how thoroughly.

    Raises: UnknownNameError for what is neither; OptionError for less than one network.

    >>> [study.name for study in Wanted(("cos-small-gt-gain", "diamond")).studies]
    ['cos-small', 'diamond']
    """

    names: tuple[str, ...] = (ALL,)
    seeds: int | None = None
    full: bool = False

    def __post_init__(self) -> None:
        known = {name for study in STUDIES.values() for name in study.names}
        for name in self.names:
            if name not in known | {ALL, PAPERS}:
                raise UnknownNameError("figure", name, known | {ALL, PAPERS})
        if self.seeds is not None and self.seeds < 1:
            raise OptionError(f"got seeds={self.seeds}; expected 1 network or more")

    @property
    def studies(self) -> list[Study]:
        return [study for study in STUDIES.values() if self.figures(study)]

    def figures(self, study: Study) -> list[str]:
        """The figures of a study that are wanted."""
        whole = ALL in self.names or study.name in self.names or (PAPERS in self.names and study.paper)
        return [name for name in study.names if whole or name in self.names]

    def to_dict(self) -> dict[str, Any]:
        return {"figures": list(self.names), "seeds": self.seeds, "full": self.full}


@dataclass
class Outcome:
    """What a reproduction came to: figures drawn, jobs done now and before, studies skipped and jobs failed, with the
    reasons; and networks that are in no figure, since they learnt nothing."""

    figures: list[str] = field(default_factory=list)
    made: int = 0
    kept: int = 0
    waiting: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    agreement: dict[str, Any] = field(default_factory=dict)


def reproduce(
    wanted: Wanted, out: Path, *, processes: int = 1, shard: str = "1/1", told: Told = lambda job, error: None
) -> Outcome:
    """Do the jobs that are not done yet, then draw all figures that can be drawn.

    Killed at any instant, the same call goes on. Of several shards each does its own jobs, in a folder of its own or
    in one that they share; `merge` makes one of them.

    Raises: as `Wanted`; RunError for a record that is damaged.
    """
    outcome = Outcome()
    studies = _possible(wanted.studies, outcome)
    jobs = share(jobs_of(studies, full=wanted.full, seeds=wanted.seeds), shard)
    missing = store.missing(out, jobs)
    store.write_text(out / PLAN, json.dumps(wanted.to_dict(), indent=2) + "\n")
    outcome.kept = len(jobs) - len(missing)
    outcome.failed = run(out, missing, processes, told)
    outcome.made = len(missing) - len(outcome.failed)
    return redraw(wanted, out, outcome)


def merge(parts: Sequence[Path], out: Path) -> Outcome:
    """Put the records of several folders, such as shards, into one, and draw from all of them.

    Raises: RunError for folders that are none, or that hold parts of different things.
    """
    plans = {part: _plan(part) for part in parts}
    if len(set(plans.values())) != 1:
        told = "; ".join(f"{part}: {plan}" for part, plan in plans.items())
        raise RunError(f"the folders are parts of different reproductions ({told}); merge those of one command")
    store.gather(parts, out)
    record = json.loads(next(iter(plans.values())))
    wanted = Wanted(tuple(record["figures"]), record["seeds"], record["full"])
    store.write_text(out / PLAN, json.dumps(wanted.to_dict(), indent=2) + "\n")
    return redraw(wanted, out, Outcome())


def redraw(wanted: Wanted, out: Path, outcome: Outcome) -> Outcome:
    """Draw every wanted figure from the records that are there, and compare with the paper's; trains nothing."""
    everything = []
    for study in wanted.studies:
        jobs = jobs_of([study], full=wanted.full, seeds=wanted.seeds)
        records = store.read(out, jobs)
        outcome.waiting += 0 if study.name in outcome.skipped else len(jobs) - len(records)
        outcome.left_out += [str(job) for job, record in records if not learnt(record)]
        records = [pair for pair in records if learnt(pair[1])]
        if records:
            everything += records
            made = draw(study, records, out / "figures", wanted.figures(study))
            outcome.figures += [str(path.with_suffix(".png")) for path in made]
    outcome.agreement = agreement(wanted.studies, everything)
    store.write_text(out / "agreement.json", json.dumps(outcome.agreement, indent=2) + "\n")
    store.write_text(out / "agreement.csv", to_csv(outcome.agreement))
    store.write_text(out / "agreement.md", to_markdown(outcome.agreement))
    return outcome


def learnt(record: Record) -> bool:
    """Whether the network is any better than without its units: some trainings never leave a constant answer."""
    errors = record["runs"][0]["error"]
    return errors[0] < errors[-1]


def _possible(studies: Sequence[Study], outcome: Outcome) -> list[Study]:
    """The studies whose data is here; why the others are skipped is told."""
    if not any(study.mnist for study in studies):
        return list(studies)
    try:
        data.load("mnist")
    except DataError as error:
        outcome.skipped = {study.name: str(error) for study in studies if study.mnist}
    return [study for study in studies if study.name not in outcome.skipped]


def _plan(part: Path) -> str:
    try:
        return json.dumps(json.loads((part / PLAN).read_text(encoding="utf-8")), sort_keys=True)
    except (OSError, ValueError) as error:
        raise RunError(f"{part} holds no {PLAN}; expected a folder that `secateur reproduce` wrote") from error
