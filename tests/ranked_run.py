"""Runs in several processes, as torchrun starts them; what they leave and say is looked at by test_ranks.py.

`python ranked_run.py FOLDER SCENARIO` prints what became of the processes, as JSON. Ranks are forked, since importing
torch takes far longer than the runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import secateur as sc
from secateur.gated import GatedLoss, executor
from secateur.oracle import ENGINES

LIMIT = 200.0
"""Seconds until a process counts as hanging."""


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 5), nn.Sigmoid(), nn.Linear(5, 3)).eval()


def data() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(41, 4, generator=draw), torch.randint(3, (41,), generator=draw)


def deadly(dies_at: int | None) -> Callable[[Tensor, Tensor], float]:
    """A metric that ends the second rank, as the system would, when it is asked for the n-th time."""
    asked = [0]

    def mean_output(output: Tensor, target: Tensor) -> float:
        asked[0] += 1
        if asked[0] == dies_at and os.environ.get("RANK") == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return float(output.double().mean())

    return mean_output


def prune(out: Path, engine: str = "exact", dies_at: int | None = None, **options: Any) -> sc.Result:
    metrics = ("accuracy", deadly(dies_at))
    return sc.prune(network(), data(), engine=engine, metrics=metrics, tile=4, out=out, progress=False, **options)


def ranks(count: int, work: Callable[[], object]) -> list[dict[str, Any]]:
    """Do the work in so many processes; how each ended, what it said, and after how many seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    children = [_begun(rank, count, port, work) for rank in range(count)]
    ends: dict[int, dict[str, Any]] = {}
    while len(ends) < count:
        late = time.monotonic() - started > LIMIT
        for rank, (child, said) in enumerate(children):
            if rank not in ends and late:
                os.kill(child, signal.SIGKILL)
            ended, status = (0, 0) if rank in ends else os.waitpid(child, 0 if late else os.WNOHANG)
            if ended:
                text = os.fdopen(said).read()
                seconds = time.monotonic() - started
                ends[rank] = {"code": os.waitstatus_to_exitcode(status), "said": text, "seconds": seconds, "late": late}
        time.sleep(0.005)
    return [ends[rank] for rank in range(count)]


def _begun(rank: int, count: int, port: int, work: Callable[[], object]) -> tuple[int, int]:
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)
    torch.set_num_threads(1)
    if count > 1:
        told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in told.items()})
    try:
        work()
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def same(folder: Path) -> dict[str, Any]:
    """Every engine on one and two processes, one on three; eleven tiles, and fewer tiles than processes."""

    def work(at: Path, count: int) -> None:
        at.mkdir(exist_ok=True)
        for engine in ENGINES if count < 3 else ("exact",):
            prune(at / engine, engine)
        loss = GatedLoss(network(), data(), tile=4, off="mean")
        asked = {"E": loss(), "examples": loss.per_example(), "answers": loss.outputs(), "slope": loss.gradient()}
        asked["curvature"] = loss.curvature()
        asked["few tiles"] = sc.score(network(), data(), tile=30).values
        executor.EXCHANGE = 300  # bytes: so several exchanges for what follows
        asked["losses again"], asked["slope again"] = loss.per_example(), loss.gradient()
        gates = loss.gates().requires_grad_(True)
        asked["by hand"] = torch.autograd.grad(loss(gates), gates)[0]
        rank = os.environ.get("RANK", "0")
        (at / f"{rank}.json").write_text(json.dumps({name: value.tolist() for name, value in asked.items()}))

    return {str(count): ranks(count, lambda count=count: work(folder / str(count), count)) for count in (1, 2, 3)}


def killed(folder: Path) -> dict[str, Any]:
    """A run of two ranks of which one dies, resumed by one and by three."""
    found = {
        "unbroken": ranks(1, lambda: prune(folder / "unbroken")),
        "killed": ranks(2, lambda: prune(folder / "resumed by 1", dies_at=5)),
    }
    shutil.copytree(folder / "resumed by 1", folder / "resumed by 3")
    for count in (1, 3):
        out = folder / f"resumed by {count}"
        found[f"resumed {count}"] = ranks(count, lambda out=out: prune(out, resume=True))
    return found


def refused(folder: Path) -> dict[str, Any]:
    """What one rank meets, all tell."""

    def other_weights() -> None:
        sc.score(network(int(os.environ["RANK"])), data())

    def not_finite() -> None:
        x, y = data()

        def loss(output: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
            values = nn.functional.cross_entropy(output, batch[1], reduction="none")
            return torch.where((batch[0] == x[6]).all(1) | (batch[0] == x[39]).all(1), torch.nan, values)

        GatedLoss(network(), (x, y), loss, tile=4)

    def of_two_minds() -> None:
        def by_rank(loss: GatedLoss, alive: Tensor) -> Tensor:
            return alive.double() * (1 - 2 * int(os.environ["RANK"]))

        sc.prune(network(), data(), criterion=by_rank, progress=False)

    prune(folder / "there", stop=sc.stop.units(1))
    cases = [other_weights, not_finite, of_two_minds]
    found = {case.__name__: ranks(2, case) for case in cases}
    return found | {"there": ranks(2, lambda: prune(folder / "there"))}


if __name__ == "__main__":
    sc.score(network(), data())  # imports and compiles what every rank then has
    print(json.dumps({"same": same, "killed": killed, "refused": refused}[sys.argv[2]](Path(sys.argv[1]))))
