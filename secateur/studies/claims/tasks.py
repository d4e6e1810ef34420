"""One experiment from one seed: the unit of work. Its record is a file, so that what was killed goes on."""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from secateur.errors import SecateurError
from secateur.studies import store
from secateur.studies.claims.networks import Effort
from secateur.threads import threads

FORMAT = 1  # raise it when what an experiment does, or how it is written, changes
EXPERIMENTS: Mapping[str, str] = MappingProxyType(
    {
        name: f"secateur.studies.claims.{name}"
        for name in (
            "choice",
            "optimiser",
            "training",
            "deep",
            "schedule",
            "relu",
            "cancelling",
            "checkpoints",
            "width",
            "subset",
            "cost",
        )
    }
)
"""Each names a module with a function measure(seed, effort) -> {"values": numbers by name, "curves": lists by name}."""

Record = dict[str, Any]
Told = Callable[["Task", str], object]


FULL = Effort()


@dataclass(frozen=True, slots=True)
class Task:
    """An experiment to do.

    >>> Task("subset", 3).path.startswith("claims-subset/3-")
    True
    """

    experiment: str
    seed: int
    effort: Effort = FULL

    @property
    def path(self) -> str:
        """Where its record lies in the folder of jobs; another effort is another file."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True)
        return f"claims-{self.experiment}/{self.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"

    def __str__(self) -> str:
        return f"claims, {self.experiment}, seed {self.seed}"


def do(task: Task) -> Record:
    """The record of a task, the same every time but for the seconds of `cost`."""
    with threads(1):
        found = importlib.import_module(EXPERIMENTS[task.experiment]).measure(task.seed, task.effort)
    return {"experiment": task.experiment, "seed": task.seed, **found}


def tasks_of(seeds: int, effort: Effort) -> list[Task]:
    """All of them, every experiment of a seed before the next seed."""
    return [Task(name, seed, effort) for seed in range(seeds) for name in EXPERIMENTS]


def run(out: Path, tasks: Sequence[Task], processes: int, told: Told) -> list[str]:
    """Do those that are not done yet, keep each as it is done, and return what failed, a line each."""
    missing = [task for task in tasks if not (store.folder(out) / task.path).exists()]
    failures = []
    for task, error in _here(out, missing) if processes == 1 else _elsewhere(out, missing, processes):
        told(task, error)
        if error:
            failures.append(f"{task}: {error}")
    return failures


def read(out: Path, tasks: Sequence[Task]) -> list[Record]:
    """The records that are there. Raises: RunError for a file that is damaged."""
    found = []
    for task in tasks:
        path = store.folder(out) / task.path
        if not path.exists():
            continue
        record = store.record_at(path, "values")
        found.append(record)
    return found


def _finish(out: Path, task: Task) -> str:
    """Do one task and keep its record; the error of one that cannot be done, or nothing."""
    try:
        store.write(out, task, do(task))
    except SecateurError as error:
        return str(error)
    return ""


def _here(out: Path, tasks: Sequence[Task]) -> Iterator[tuple[Task, str]]:
    return ((task, _finish(out, task)) for task in tasks)


def _elsewhere(out: Path, tasks: Sequence[Task], processes: int) -> Iterator[tuple[Task, str]]:
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(_finish, out, task): task for task in tasks}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
