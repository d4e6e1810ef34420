"""A run that is killed again and again, in processes of its own; what it leaves is compared by test_rundir.py.

`python killed_run.py DIRECTORY RERANK_EVERY KILLS` makes DIRECTORY/unbroken and DIRECTORY/killed, and prints how often
the second was killed in the middle. Children are forked, since importing torch takes far longer than the run itself.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from killed import killed
from quadratic import Moody, Quadratic
from torch import Tensor

from secateur.loop import remove_units
from secateur.ranking import removable_count
from secateur.rundir import RunDirectory
from secateur.stopping import never
from secateur.trace import Measured


def run(path: Path, rerank_every: int | None, pause: float = 0.0) -> None:
    loss, criterion = Quadratic.random((12, 9), 5), Moody()

    def measure(gates: Tensor) -> Measured:
        time.sleep(random.uniform(0, pause))
        return {"error": float(loss(gates)), "metrics": {"on": float(gates.sum())}}

    def ask(loss: Any, alive: Tensor) -> Tensor:
        time.sleep(random.uniform(0, pause))
        return criterion(loss, alive)

    ask.state, ask.restore = criterion.state, criterion.restore  # pyright: ignore[reportFunctionMemberAccess]
    free = removable_count(loss.units)
    with RunDirectory.open(path, {"rerank": rerank_every}, unit_count=21, removable=free, resume=True) as trace:
        remove_units(loss, ask, never(), rerank_every, measure=measure, trace=trace)


def main(directory: str, rerank: str, kills: str) -> None:
    rerank_every = None if rerank == "None" else int(rerank)
    run(Path(directory) / "unbroken", rerank_every)
    random.seed(0)
    broken = Path(directory) / "killed"

    def slowly() -> None:
        torch.set_num_threads(1)
        run(broken, rerank_every, pause=0.004)

    times = sum(killed(slowly, random.uniform(0.0, 0.02)) for _ in range(int(kills)))
    run(broken, rerank_every)
    print(times)


if __name__ == "__main__":
    main(*sys.argv[1:])
