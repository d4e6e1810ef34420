"""Who evaluates which tile: this process alone, or the ranks that torchrun started. Either way the same bits.

What is asked of the data is asked tile by tile, and added up in the order of the tiles. Ranks take whole tiles in turn
(rank r of R those at r, r + R, ...), exchange what each gave, and every rank adds all of it in that same order; so
the number of ranks changes no sum, and each rank holds the same sums and decides the same.
"""

from __future__ import annotations

import atexit
import functools
import math
import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from secateur.errors import RankError
from secateur.gated.answers import exactly

Rows = tuple[Tensor, ...]
Value = TypeVar("Value")

EXCHANGE = 16 << 20
"""Bytes of all ranks together that wait for one exchange; a single tile's may be more."""
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Executor(Protocol):
    """`map` gives what the function makes of each index below `count`, in order, on every rank; `apart`: if it may be
    called from several threads."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def map(self, function: Callable[[int], Rows], count: int, apart: bool = False) -> Iterator[Rows]: ...
    def share(self, make: Callable[[], Value]) -> Value: ...
    def gather(self, value: Value) -> list[Value]: ...


@dataclass(frozen=True)
class Serial:
    """This process does all of it.

    >>> [float(row) for (row,) in Serial().map(lambda at: (torch.tensor(at),), 3)]
    [0.0, 1.0, 2.0]
    """

    rank: int = 0
    size: int = 1

    def map(self, function: Callable[[int], Rows], count: int, apart: bool = False) -> Iterator[Rows]:
        threads = torch.get_num_threads()
        return _in_threads(function, count, threads) if apart and 1 < threads <= count else map(function, range(count))

    def share(self, make: Callable[[], Value]) -> Value:
        """What `make` gives on the first rank; its error, where it fails."""
        return make()

    def gather(self, value: Value) -> list[Value]:
        """What each rank holds."""
        return [value]


@dataclass(frozen=True)
class Distributed:
    """The ranks of torch.distributed's process group do it together. All of them must ask the same."""

    rank: int
    size: int

    def map(self, function: Callable[[int], Rows], count: int, apart: bool = False) -> Iterator[Rows]:
        waiting: list[Rows] = []
        turns = math.ceil(count / self.size)
        most = turns  # turns until the next exchange
        for turn in range(turns):
            at, error = turn * self.size + self.rank, None
            try:
                if at < count:
                    waiting.append(function(at))
            except Exception as caught:
                error = caught
            if turn == 0 and turns > 1 and waiting:  # then every rank's first tile is a full one, and all find the same
                most = max(1, EXCHANGE // max(1, self.size * sum(_bytes(row.shape, row.dtype) for row in waiting[0])))
            if error or len(waiting) == most or turn == turns - 1:
                yield from self._exchange(waiting, (at, error))
                waiting = []

    def _exchange(self, mine: list[Rows], last: tuple[int, Exception | None]) -> Iterator[Rows]:
        """What all ranks hold, in the order of the tiles; `last` is this rank's last tile, and its error.

        Raises: the error of the earliest tile that failed on any rank, on every rank alike.
        """
        shapes = [[(row.shape, row.dtype) for row in rows] for rows in mine]
        failed = None if last[1] is None else (last[0], _portable(last[1]))
        told = self.gather((shapes, failed))
        failures = [failure for _, failure in told if failure is not None]
        if failures:
            raise min(failures, key=lambda failure: failure[0])[1]
        device = next((row.device for rows in mine for row in rows), torch.device("cpu"))
        parts = self._gather_bytes([row for rows in mine for row in rows], [shapes for shapes, _ in told], device)
        for turn in range(max(len(rows) for rows in parts)):
            yield from (rows[turn] for rows in parts if turn < len(rows))

    def _gather_bytes(
        self, mine: list[Tensor], shapes: list[list[list[Any]]], device: torch.device
    ) -> list[list[Rows]]:
        """The tensors of all ranks, by one exchange of bytes, padded to the longest."""
        sizes = [[[_bytes(*row) for row in rows] for rows in of_rank] for of_rank in shapes]
        longest = max(sum(map(sum, of_rank)) for of_rank in sizes)
        on = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
        flat = torch.zeros(longest, dtype=torch.uint8, device=on)
        if mine:
            joined = torch.cat([row.detach().contiguous().view(-1).view(torch.uint8) for row in mine])
            flat[: len(joined)] = joined
        buffers = [torch.empty_like(flat) for _ in range(self.size)]
        with _peers(self):
            dist.all_gather(buffers, flat)
        found = []
        for buffer, of_rank, bytes_of in zip(buffers, shapes, sizes, strict=True):
            pieces = iter(buffer[: sum(map(sum, bytes_of))].split([size for rows in bytes_of for size in rows]))
            found.append([tuple(_restored(next(pieces), *row).to(device) for row in rows) for rows in of_rank])
        return found

    def share(self, make: Callable[[], Value]) -> Value:
        """What `make` gives on the first rank, to all; its error, where it fails."""
        held: list[Any] = [None, None]
        if self.rank == 0:
            try:
                held[0] = make()
            except Exception as error:
                held[1] = _portable(error)
        with _peers(self):
            dist.broadcast_object_list(held, src=0)
        if held[1] is not None:
            raise held[1]
        return held[0]

    def gather(self, value: Value) -> list[Value]:
        """What each rank holds, by rank, on every rank."""
        held: list[Any] = [None] * self.size
        with _peers(self):
            dist.all_gather_object(held, value)
        return held


class _peers:
    """Raises: RankError where another rank is gone."""

    def __init__(self, executor: Distributed) -> None:
        self.executor = executor

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, RuntimeError):
            raise RankError(
                f"rank {self.executor.rank} of {self.executor.size} lost another rank, whose own output may tell why. "
                "A run in a directory can go on: pass resume=True, with any number of ranks."
            ) from error


def choose(device: torch.device) -> Executor:
    """The ranks of the process group where there is one, or torchrun's environment to make it from; else this process.

    Raises: RankError where the process group can't be made.
    """
    if not dist.is_available():
        return Serial()
    if not dist.is_initialized() and all(name in os.environ for name in LAUNCHED):
        enough = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        backend = "nccl" if device.type == "cuda" and enough else "gloo"
        try:
            dist.init_process_group(backend)
        except (RuntimeError, ValueError) as error:
            raise RankError(
                f"the environment is torchrun's, but the process group can't be made: {error}. Start with torchrun, or "
                f"without {', '.join(LAUNCHED)} in the environment."
            ) from error
        atexit.register(_leave)
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return Serial()
    return Distributed(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    """Of a group that is still there when Python ends, gloo's threads may abort the process."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _in_threads(function: Callable[[int], Rows], count: int, threads: int) -> Iterator[Rows]:
    """Whole tiles side by side, each on one thread: threads that share every single operation wait for each other more
    than they work. Torch's threads rest meanwhile."""
    gradients = torch.is_grad_enabled()

    def call(at: int) -> Rows:
        with torch.set_grad_enabled(gradients):  # each thread has a switch of its own
            return function(at)

    with exactly():
        torch.set_num_threads(1)
        pool = _pool(threads, os.getpid())
        tasks = [pool.submit(call, at) for at in range(count)]
        try:
            for task in tasks:
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            wait(tasks)
            torch.set_num_threads(threads)


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """The threads of this process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(threads, "secateur", initializer=torch.set_num_threads, initargs=(1,))


def own_device(device: torch.device | str | None) -> torch.device | str | None:
    """The device asked for; of "cuda" the GPU that torchrun means for this rank."""
    if device is not None and torch.device(device) == torch.device("cuda") and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % max(1, torch.cuda.device_count()))
    return device


def _portable(error: Exception) -> Exception:
    """The error itself, or, where it can't be sent to other processes, one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RankError(f"{type(error).__name__}: {error}")
    return error


def _bytes(shape: torch.Size, dtype: torch.dtype) -> int:
    return shape.numel() * dtype.itemsize


def _restored(flat: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return flat.clone().view(dtype).view(shape)  # a clone: a piece need not begin where its type may
