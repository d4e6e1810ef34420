"""Several processes against one, each with one thread: the seconds of a round and of a run, and the same decisions.

    torchrun --nproc-per-node 2 -m secateur.bench.processes '{"network": "lenet-300-100", ...}'

is what `two_against_one` starts, in turns with the same on one process; rank 0 prints what it measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import torch

from secateur import criteria, ranking
from secateur.bench.runs import run
from secateur.bench.subjects import Weights, make_subject
from secateur.bench.timing import Seconds, interleaved
from secateur.errors import OptionError, RankError
from secateur.threads import threads


def two_against_one(
    network: str,
    examples: int | None = None,
    *,
    engine: str = "exact",
    ranks: int = 2,
    removals: int = 5,
    rounds: int = 3,
    weights: Weights = "trained",
    seed: int = 0,
) -> dict[str, Any]:
    """Seconds of one round of the oracle, and of a short run, by one process and by several, in turns.

    Every process has one thread. Starting, importing and warming up are left out: each measures itself.

    Units: seconds of wall time; `faster` is the median of one process over that of several.
    Raises: OptionError for fewer than 2 ranks; RankError for a process that fails, with the end of what it said.
    """
    if ranks < 2 or rounds < 1 or removals < 1:
        raise OptionError(f"got {ranks} ranks, {rounds} rounds, {removals} removals; expected 2, 1 and 1 or more.")
    subject = make_subject(network, examples, weights=weights, seed=seed)  # trains once, before the ranks would
    task = {
        "network": network,
        "examples": len(subject.loss.examples),
        "weights": weights,
        "seed": seed,
        "engine": engine,
        "removals": removals,
    }
    found: dict[int, list[dict[str, Any]]] = {1: [], ranks: []}
    for _ in range(rounds):
        for count in found:
            found[count].append(_start(task, count))
    one, several = found[1], found[ranks]
    record: dict[str, Any] = {**subject.record(), "engine": engine, "ranks": ranks, "rounds": rounds}
    for part in ("round", "run"):
        single, shared = (Seconds([told[part] for told in taken]) for taken in (one, several))
        faster = single.median / shared.median
        record[part] = {"one": single.record(), "several": shared.record(), "faster": faster}
    decisions = {json.dumps([told["removed"], told["errors"]]) for told in (*one, *several)}
    return record | {"removals": len(one[0]["removed"]), "same_decisions": len(decisions) == 1}


def _start(task: Mapping[str, Any], ranks: int) -> dict[str, Any]:
    """What rank 0 of so many processes measured."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launch, "-m", "secateur.bench.processes", json.dumps(task)]
    inherited = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    environment = {**inherited, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RankError(f"a benchmark with {ranks} processes failed: {' '.join(done.stderr.split()[-60:])}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(task: Mapping[str, Any]) -> dict[str, Any]:
    """What one process, or each of several, measures: median seconds of a round, seconds of a run, its decisions.

    >>> task = {"network": "mlp:3-4-2", "examples": 8, "weights": "untrained", "seed": 0, "engine": "exact"}
    >>> len(measure(task | {"removals": 2})["removed"])
    2
    """
    with threads(1):
        subject = make_subject(task["network"], task["examples"], weights=task["weights"], seed=task["seed"])
        loss = subject.loss
        every, removable = torch.arange(len(loss.units)), ranking.removable(loss.units, loss.gates(), 1)

        def one_round() -> None:
            criterion: Any = criteria.resolve("oracle", task["engine"])
            asked = (removable,) if getattr(criterion, "partial", False) else ()
            criterion(loss, every, *asked)

        one_round()
        seconds = interleaved({"round": one_round}, 3)["round"].median
        curve = run(loss, task["engine"], down_to=max(0.0, 1 - task["removals"] / len(loss.units)))
    return {"round": seconds, "run": curve.seconds[-1], "removed": curve.removed, "errors": curve.errors}


if __name__ == "__main__":
    told = measure(json.loads(sys.argv[1]))
    if int(os.environ.get("RANK", "0")) == 0:
        print(json.dumps(told), flush=True)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
