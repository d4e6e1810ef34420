"""Records of jobs, a file each: there whole or not at all, so that what was killed goes on."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from secateur.errors import RunError
from secateur.studies.jobs import Job

Record = dict[str, Any]


class Work(Protocol):
    """A job, or an experiment of the claims: what has a place for its record."""

    @property
    def path(self) -> str: ...


def folder(out: Path) -> Path:
    """Where the records lie in the folder of a reproduction."""
    return out / "jobs"


def missing(out: Path, jobs: Iterable[Job]) -> list[Job]:
    """The jobs that are still to do."""
    return [job for job in jobs if not (folder(out) / job.path).exists()]


def write(out: Path, job: Work, record: Record) -> None:
    """Keep a record: written aside, then renamed."""
    path = folder(out) / job.path
    path.parent.mkdir(parents=True, exist_ok=True)
    _aside(path, json.dumps(_strict(record), allow_nan=False, sort_keys=True) + "\n")


def record_at(path: Path, needed: str) -> Record:
    """The record in a file, which must hold `needed`. Raises: RunError for a file that is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}); delete it, and it is made anew") from error
    if not isinstance(record, dict) or needed not in record:
        raise RunError(f"{path} is no record of this work (no {needed!r}); delete it, and it is made anew")
    return record


def read(out: Path, jobs: Iterable[Job]) -> list[tuple[Job, Record]]:
    """The records that are there, with their jobs.

    Raises: RunError for a file that is damaged.
    """
    found = []
    for job in jobs:
        path = folder(out) / job.path
        if not path.exists():
            continue
        record = record_at(path, "runs")
        found.append((job, record))
    return found


def gather(parts: Sequence[Path], out: Path) -> int:
    """Copy the records of several folders into one; how many there were.

    Raises: RunError for a folder that holds none, and where two hold different records of one job.
    """
    count = 0
    for part in parts:
        paths = sorted(folder(part).glob("*/*.json"))
        if not paths:
            raise RunError(f"{part} holds no records of jobs; expected a folder that `secateur reproduce` wrote")
        for path in paths:
            there = folder(out) / path.parent.name / path.name
            there.parent.mkdir(parents=True, exist_ok=True)
            if not there.exists():
                aside = there.with_name(f".{there.name}.{os.getpid()}.aside")
                shutil.copyfile(path, aside)
                os.replace(aside, there)
            elif there.read_bytes() != path.read_bytes():
                raise RunError(f"{there} and {path} are different records of one job; keep the one you trust")
            count += 1
    return count


def write_text(path: Path, text: str) -> None:
    """A file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _aside(path, text)


def _aside(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def _strict(value: Any) -> Any:
    """The value with null for every float that JSON lacks."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
