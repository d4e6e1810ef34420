"""The unit of work: one trained network under one condition, pruned by every criterion of its study."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from secateur.errors import OptionError
from secateur.studies.plan import Condition, Study
from secateur.zoo import RECIPES

FORMAT = 1  # raise it when what a job does, or how it is written, changes


@dataclass(frozen=True)
class Job:
    """A network to train from `seed`, and to prune.

    >>> from secateur.studies import STUDIES
    >>> job, *_ = jobs_of([STUDIES["cos-small"]])
    >>> job.path.startswith("cos-small/0-0-")
    True
    """

    study: Study
    condition: Condition
    seed: int
    full: bool = False

    @property
    def configuration(self) -> dict[str, Any]:
        """All that its record depends on, as plain data."""
        return {
            "format": FORMAT,
            "study": self.study.name,
            "condition": asdict(self.condition),
            "recipe": asdict(RECIPES[self.condition.recipe]),
            "effort": _plain(asdict(self.study.effort(self.full)), without="seeds"),
            "criteria": list(self.study.criteria),
            "schedules": list(self.study.schedules),
            "gains": list(self.study.gains) if self.seed == 0 else [],
            "seed": self.seed,
        }

    @property
    def path(self) -> str:
        """Where its record lies in the folder of jobs; another configuration is another file."""
        text = json.dumps(self.configuration, sort_keys=True)
        place = self.study.conditions.index(self.condition)
        return f"{self.study.name}/{place}-{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"

    def __str__(self) -> str:
        return f"{self.study.name}, {self.condition.label}, seed {self.seed}"


def jobs_of(studies: Iterable[Study], *, full: bool = False, seeds: int | None = None) -> list[Job]:
    """All jobs of these studies, in a fixed order; `seeds` networks of each, by default as many as its effort says."""
    return [
        Job(study, condition, seed, full)
        for study in studies
        for seed in range(seeds or study.effort(full).seeds)
        for condition in study.conditions
    ]


def share(jobs: Sequence[Job], shard: str) -> list[Job]:
    """The jobs of one of several machines: "2/3" is every third, from the second on.

    Raises: OptionError for what is no shard.

    >>> from secateur.studies import STUDIES
    >>> [job.seed for job in share(jobs_of([STUDIES["lenet-5"]], seeds=5), "2/3")]
    [1, 4]
    """
    part, _, of = shard.partition("/")
    if not (part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise OptionError(f"got shard={shard!r}; expected i/n with i from 1 to n, such as 1/4")
    return list(jobs[int(part) - 1 :: int(of)])


def _plain(record: dict[str, Any], without: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != without}
