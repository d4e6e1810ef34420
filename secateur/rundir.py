"""A run directory: the record of a run on disk, which survives being killed at any instant.

    run.json       what the run is: its configuration, and how many units; written aside, then renamed
    events.jsonl   one line a step, appended and flushed to the disk before the next removal is thought of
    scores/        one NNNNNN.npz a ranking, by the step it was made at; it tells the configuration it was made under
    run.lock       locked by the process that is in the run, and tells who that is

A ranking that is lost or damaged is made again, so none needs to be flushed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from secateur.errors import OptionError, RunError, RunLockedError, RunMismatchError
from secateur.trace import Ranking, Step, Trace, read_steps

try:
    import fcntl
except ImportError:  # Windows has no such locks: there two runs in one directory go unnoticed
    fcntl = None

FORMAT, VERSION = "secateur run", 1
RUN, EVENTS, SCORES, LOCK, ASIDE = "run.json", "events.jsonl", "scores", "run.lock", ".part"

# What a resumed run may change: its stop, and what decides nothing.
FREE_KEYS = ("stop", "info")

# What NumPy and zipfile raise for an archive that is missing, torn or altered.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class RunDirectory(Trace):
    """A trace on disk, locked while it is open.

    Open one with `RunDirectory.open` to run or resume, with `RunDirectory.read` to look at one that may be in use.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lenet"
    >>> with RunDirectory.open(path, {"criterion": "oracle"}, unit_count=3) as run:
    ...     run.append(Step(0, None, 1.5, float("nan")))
    >>> RunDirectory.read(path).steps[0].error
    1.5
    """

    def __init__(
        self,
        path: Path,
        configuration: Mapping[str, Any],
        unit_count: int,
        removable: int | None,
        steps: list[Step],
        lock: int | None = None,
        events: int | None = None,
    ) -> None:
        super().__init__(unit_count, removable, steps)
        self.path = path
        self.configuration = configuration
        self._lock = lock
        self._events = events
        settings = {"configuration": configuration, "units": self.unit_count, "removable": self.removable}
        self._digest = hashlib.sha256(repr(sorted(_flat(settings))).encode()).hexdigest()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        configuration: Mapping[str, Any],
        *,
        unit_count: int,
        removable: int | None = None,
        resume: bool = False,
    ) -> RunDirectory:
        """Begin a run in a new, empty or stepless directory, or go on with the run that is in it.

        The configuration is JSON-able. A resumed run must have the same, but for its "stop", which may be extended or
        shortened, and for "info", a place for what decides nothing; the new ones of these are recorded.

        Raises: RunLockedError while another run is in it; RunMismatchError for another configuration, with the keys
        that differ; RunError for files of another kind, damage, or a run that is there when `resume` is False.
        """
        path = Path(path)
        removable = unit_count if removable is None else removable
        wanted = _plain({"configuration": configuration, "units": unit_count, "removable": removable})
        _make(path)
        _refuse_foreign(path)
        lock = _lock(path)
        try:
            _refuse_foreign(path)
            steps: list[Step] = []
            if (path / RUN).exists() and (path / EVENTS).exists():
                steps, whole = read_steps((path / EVENTS).read_bytes(), str(path / EVENTS))
                if steps and not resume:
                    raise RunError(
                        f"{path} holds a run of {len(steps) - 1} removals. Pass resume=True to go on with it, or "
                        "choose another directory."
                    )
                if steps:
                    _refuse_mismatch(path, _read_description(path), wanted)
                os.truncate(path / EVENTS, whole)
            _write(path / RUN, {"format": FORMAT, "version": VERSION, **wanted})
            (path / SCORES).mkdir(exist_ok=True)
            (path / EVENTS).touch()
            _flush_directory(path)
            events = os.open(path / EVENTS, os.O_WRONLY | os.O_APPEND)
            return cls(path, wanted["configuration"], unit_count, removable, steps, lock, events)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RunDirectory:
        """The run as it stands, for reports: without its lock, and nothing can be recorded in it.

        Raises: RunError for a directory that holds no run, or a damaged one.
        """
        path = Path(path)
        described = _read_description(path)
        content = (path / EVENTS).read_bytes() if (path / EVENTS).exists() else b""
        steps, _ = read_steps(content, str(path / EVENTS))
        return cls(path, described["configuration"], described["units"], described["removable"], steps)

    def append(self, step: Step) -> None:
        """Record the next step; when this returns, it is on the disk."""
        events = self._writable()
        line = step.to_json().encode() + b"\n"
        super().append(step)
        try:
            _write_all(events, line)
            os.fsync(events)
        except BaseException as error:
            self.close()  # the line may be torn: only opening the directory again mends it
            if isinstance(error, OSError):
                raise RunError(f"cannot write {self.path / EVENTS}: {error}. Mend it, then resume the run.") from error
            raise

    def keep(self, ranking: Ranking) -> None:
        """Keep a ranking, so that a resumed run decides as the unbroken one."""
        self._writable()
        super().keep(ranking)
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            step=np.int64(ranking.step),
            alive=ranking.alive.numpy(),
            scores=ranking.scores.numpy(),
            state=np.array(json.dumps(ranking.state, allow_nan=False)),
            run=np.array(self._digest),
        )
        file = self._scores_file(ranking.step)
        aside = file.with_name(file.name + ASIDE)
        try:
            aside.write_bytes(buffer.getvalue())
            os.replace(aside, file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error}. Mend that, then resume the run.") from error

    def ranking(self, step: int) -> Ranking | None:
        """The ranking made at `step`; None if it is not kept or is damaged."""
        import torch  # deferred: it takes a second, and a report may never ask

        try:
            content = io.BytesIO(self._scores_file(step).read_bytes())  # NumPy leaves a damaged file open
            with np.load(content, allow_pickle=False) as file:
                alive, scores, state = file["alive"], file["scores"], json.loads(str(file["state"]))
                sound = (int(file["step"]), str(file["run"])) == (step, self._digest)
                sound = sound and alive.dtype == np.int64 and scores.dtype == np.float64
        except _UNREADABLE:
            return None
        if not sound or alive.ndim != 1 or alive.shape != scores.shape:
            return None
        return Ranking(step, torch.from_numpy(alive), torch.from_numpy(scores), state)

    def close(self) -> None:
        """Leave the run and release its lock; closing twice is no harm."""
        for descriptor in (self._events, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._events = self._lock = None

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _scores_file(self, step: int) -> Path:
        return self.path / SCORES / f"{step:06d}.npz"

    def _writable(self) -> int:
        if self._events is None:
            raise RunError(f"the run in {self.path} is not open to be recorded: use RunDirectory.open(resume=True).")
        return self._events


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as it comes back from JSON (tuples as lists), so that what is compared is what was written."""
    try:
        return json.loads(json.dumps(record, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise OptionError(f"the configuration of a run must be JSON-able: {error}.") from error


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        _flush_directory(path.parent)
    except OSError as error:
        raise RunError(f"cannot make the run directory {path}: {error}. Choose another.") from error


def _refuse_foreign(path: Path) -> None:
    found = {entry.name for entry in path.iterdir()}
    foreign = sorted(found - {LOCK, RUN + ASIDE})
    if RUN not in found and foreign:
        raise RunError(
            f"{path} holds files but no {RUN} ({', '.join(foreign[:3])}{', ...' if foreign[3:] else ''}): it is no run "
            "directory. Choose another; secateur deletes nothing."
        )


def _refuse_mismatch(path: Path, held: dict[str, Any], wanted: dict[str, Any]) -> None:
    old, new = dict(_flat(held)), dict(_flat(wanted))
    different = [key for key in {**old, **new} if old.get(key, "absent") != new.get(key, "absent")]
    if different:
        shown = "; ".join(f"{key} was {old.get(key, 'absent')}, now {new.get(key, 'absent')}" for key in different)
        raise RunMismatchError(
            f"{path} holds a run with another configuration: {shown}. Resume with the same, or choose another "
            "directory; only the stop may change."
        )


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and JSON values, so that one setting that differs is one key; without FREE_KEYS."""
    for key, value in record.items():
        if key == "configuration" and not prefix:
            yield from _flat({name: setting for name, setting in value.items() if name not in FREE_KEYS})
        elif isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        described = json.loads((path / RUN).read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} holds no run: there is no {RUN} in it. Check the path.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path / RUN} cannot be read ({error}). Restore it, or start anew elsewhere.") from error
    expected = {"format": str, "version": int, "configuration": dict, "units": int, "removable": int}
    if not isinstance(described, dict) or any(type(described.get(key)) is not kind for key, kind in expected.items()):
        raise RunError(f"{path / RUN} lacks one of {', '.join(expected)}. Restore it, or start the run anew elsewhere.")
    if (described.pop("format"), described.pop("version")) != (FORMAT, VERSION):
        raise RunError(f"{path / RUN} is of another format; expected {FORMAT!r}, version {VERSION}. Use that secateur.")
    return described


def _lock(path: Path) -> int:
    """Lock the directory and sign the lock file. The system releases the lock when the process dies."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise RunError(
            f"cannot write in {path}: {error}. Choose another directory, or mend its permissions."
        ) from error
    try:
        if fcntl:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        _write_all(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
    except BaseException as error:
        holder = os.read(descriptor, 200).decode(errors="replace").strip()
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise RunLockedError(
                f"another run is in {path}: {holder or 'a process that has not signed yet'}. Wait until it ends or end "
                f"it, or choose another directory. ({LOCK} alone is no lock: it need not be deleted.)"
            ) from error
        if isinstance(error, OSError):
            raise RunError(f"cannot lock {path / LOCK}: {error}. Choose a file system that has locks.") from error
        raise
    return descriptor


def _write(file: Path, record: Mapping[str, Any]) -> None:
    aside = file.with_name(file.name + ASIDE)
    with aside.open("w", encoding="utf-8") as handle:
        json.dump(record, handle, indent=2, allow_nan=False)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(aside, file)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _flush_directory(path: Path) -> None:
    """What was made or renamed in a directory is on the disk only when the directory is."""
    with suppress(PermissionError):  # Windows opens no directories
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
