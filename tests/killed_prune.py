"""Real runs that are killed again and again, in processes of their own; what they leave is compared by test_killed.py.

`python killed_prune.py FOLDER ENGINE KILLS` makes FOLDER/unbroken, and FOLDER/0, FOLDER/1 ... of which each is killed
at random instants, and resumed, until it is done; it prints how often that was. Children are forked, and find the
network captured, since importing torch and capturing take far longer than the run itself.
"""

from __future__ import annotations

import functools
import itertools
import random
import sys
import time
from pathlib import Path
from unittest import mock

import torch
from killed import killed
from ranked_run import data, network

import secateur as sc
from secateur.units import Graph

MODEL = network()


def run(out: Path, engine: str) -> None:
    sc.prune(MODEL, data(), engine=engine, tile=4, out=out, resume=True, progress=False)


def main(folder: Path, engine: str, kills: int) -> None:
    torch.set_num_threads(1)
    draw, times = random.Random(0), 0
    graph = Graph.trace(MODEL, [data()[0][:2]], {})
    with mock.patch.object(Graph, "trace", return_value=graph):
        run(folder / "first", engine)  # imports and compiles
        begun = time.perf_counter()
        run(folder / "unbroken", engine)
        seconds = time.perf_counter() - begun
        for number in itertools.count():
            work = functools.partial(run, folder / str(number), engine)
            while times < kills and killed(work, draw.uniform(0.0, seconds)):
                times += 1
            work()
            if times == kills:
                break
    print(times)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
