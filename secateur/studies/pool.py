"""Many jobs in several processes, and what became of them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from secateur.errors import SecateurError
from secateur.studies import store
from secateur.studies.jobs import Job
from secateur.studies.work import do

Told = Callable[[Job, str], object]


def run(out: Path, jobs: Sequence[Job], processes: int, told: Told) -> list[str]:
    """Do the jobs, keep a record of each as soon as it is done, and return what failed, a line each.

    `told(job, error)` is called as each ends, with an empty error where all went well. One failure stops no other job.
    With one process the work is done in this one.
    """
    failures = []
    for job, error in _here(out, jobs) if processes == 1 else _elsewhere(out, jobs, processes):
        told(job, error)
        if error:
            failures.append(f"{job}: {error}")
    return failures


def finish(out: Path, job: Job) -> str:
    """Do one job and keep its record; the error of one that cannot be done, or nothing."""
    try:
        store.write(out, job, do(job))
    except SecateurError as error:
        return str(error)
    return ""


def _here(out: Path, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
    return ((job, finish(out, job)) for job in jobs)


def _elsewhere(out: Path, jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, str]]:
    context = multiprocessing.get_context("spawn")  # a forked torch with threads may hang
    with ProcessPoolExecutor(processes, context, initializer=_alone) as pool:
        # The last are the largest networks: begun first, they leave no process with one of them when the rest is done.
        waiting: dict[Future[str], Job] = {pool.submit(finish, out, job): job for job in reversed(jobs)}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _alone() -> None:
    """One thread for each process: there are as many processes as cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
