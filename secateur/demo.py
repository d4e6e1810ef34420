"""The demo: one network, six criteria, the paper's two algorithms, and the truth beside each.

Twelve runs of the 400-100-10 network on mnist20, each until one unit is left, in directories of their own; of each a
report and a bundle; a table and two figures of all.
"""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from secateur import metrics, stopping
from secateur.api import Result, prune
from secateur.data import Splits, load
from secateur.errors import SecateurError
from secateur.plots import GainLine, Run, draw_gains, save
from secateur.plots.schedules import draw_schedules
from secateur.threads import threads
from secateur.zoo import trained

CRITERIA = ("oracle", "taylor1", "taylor2", "taylor2_paper", "magnitude", "random")
SCHEDULES = {"iterative": 1, "single": None}
RANKED = {"iterative": "again after each", "single": "once"}
TITLES = {"iterative": "Algorithm II: ranked again after every removal", "single": "Algorithm I: ranked once"}
POINTS = (0.01, 0.05)
# The products are small: a second thread gains little, and costs much where something else wants its core. And runs go
# on, and reports agree, on machines with other numbers of cores.
THREADS = 1
# The names that prune() gives them: what ranks the units is the training data, as in the paper.
TRAINING, HELD_OUT = "scored_accuracy", "accuracy"
LEAST_ACCURACY = 0.99
BUNDLED = stopping.metric_drop(HELD_OUT, POINTS[0])


@dataclass(frozen=True, eq=False)
class Subject:
    """What the demo prunes: a trained network with its data and its loss."""

    model: nn.Module
    splits: Splits
    loss: str = "sse"
    name: str = "Sigmoid-400-100-10"

    def accuracy(self, model: nn.Module, use: str) -> float:
        """The accuracy of the network, or of a smaller one, on the examples of that split."""
        x, y = getattr(self.splits, use).pair
        with torch.no_grad():
            return metrics.accuracy(model(x), y)


@dataclass(frozen=True)
class Share:
    """A row of the table: the shares of units gone when accuracy has lost 1 and 5 points, in training and held out."""

    criterion: str
    schedule: str
    training: tuple[float, ...]
    held_out: tuple[float, ...]


@dataclass
class Demo:
    """The demo in a folder; `results` are the runs by (criterion, schedule), `made` tells what was not there before.

    >>> Demo(Path("demo"), Subject(nn.Identity(), load("digits"))).folder("oracle", "single").as_posix()
    'demo/runs/oracle-single'
    """

    out: Path
    subject: Subject
    seed: int = 0
    criteria: Sequence[str] = CRITERIA
    told: Callable[[str], object] = lambda words: None
    results: dict[tuple[str, str], Result] = field(default_factory=dict)
    made: int = 0

    def folder(self, criterion: str, schedule: str) -> Path:
        return self.out / "runs" / f"{criterion}-{schedule}"

    def make(self) -> None:
        """All of it; what is there already is kept."""
        with threads(THREADS):
            for schedule, rerank_every in SCHEDULES.items():
                for criterion in self.criteria:
                    self.told(f"pruning: {criterion}, {schedule}")
                    self.prune(criterion, schedule, rerank_every)
            for criterion, schedule in self.results:
                self.told(f"report and bundle: {criterion}, {schedule}")
                self.write_run(criterion, schedule)
            self.told("table and figures")
            self.write_table()
            self.draw()

    def prune(self, criterion: str, schedule: str, rerank_every: int | None) -> None:
        """One run, begun or resumed."""
        subject, path = self.subject, self.folder(criterion, schedule)
        events = path / "events.jsonl"
        before = events.stat().st_size if events.exists() else 0
        result = prune(
            subject.model,
            subject.splits.rank.pair,
            loss=subject.loss,
            criterion=criterion,
            rerank_every=rerank_every,
            validation=subject.splits.stop.pair,
            metrics=(HELD_OUT, TRAINING),
            out=path,
            resume=True,
            seed=self.seed,
            progress=False,
        )
        self.made += events.stat().st_size != before
        self.results[criterion, schedule] = replace(result.at(BUNDLED), network=subject.name)

    def write_run(self, criterion: str, schedule: str) -> None:
        """The report of a run, with the other criteria beside, and its bundle; unless they are there and no run is
        new."""
        result, path = self.results[criterion, schedule], self.folder(criterion, schedule)
        if not self.made and (path / "report.html").exists() and (path / "bundle" / "plan.json").exists():
            return
        beside = [(c, self.results[c, schedule].trace.steps) for c in self.criteria if c != criterion]
        page = result.report(path / "report.html", others=beside)
        result.save(path / "bundle", report=page)
        result.trace.to_csv(path / "trace.csv")

    @cached_property
    def shares(self) -> list[Share]:
        """The table, the criteria that rank again first."""
        return [
            Share(criterion, schedule, self._gone(result, TRAINING), self._gone(result, HELD_OUT))
            for (criterion, schedule), result in self.results.items()
        ]

    def _gone(self, result: Result, metric: str) -> tuple[float, ...]:
        ends = [result.trace.result(stopping.metric_drop(metric, points))[0] for points in POINTS]
        return tuple(end.step / len(result.units) for end in ends)

    def write_table(self) -> None:
        """table.md, table.csv and table.json."""
        lost = [f"\N{MINUS SIGN}{100 * p:g} point{'s' * (p != 0.01)}" for p in POINTS]
        heads = [f"{name}, {points}" for name in ("training", "held out") for points in lost]
        lines = [f"| criterion | ranked | {' | '.join(heads)} |", f"|---|---|{'---:|' * len(heads)}"]
        rows = io.StringIO()
        table = csv.writer(rows, lineterminator="\n")
        table.writerow(["schedule", "criterion", *(f"{n}_{p}" for n in ("training", "held_out") for p in POINTS)])
        for share in self.shares:
            cells = [*share.training, *share.held_out]
            shown = " | ".join(f"{100 * cell:.0f}%" for cell in cells)
            lines.append(f"| {share.criterion} | {RANKED[share.schedule]} | {shown} |")
            table.writerow([share.schedule, share.criterion, *cells])
        caption = "Share of units gone at the last removal before accuracy first fell by more than so many points.\n"
        _write(self.out / "table.md", "\n".join([*lines, "", caption]))
        _write(self.out / "table.csv", rows.getvalue())
        _write(self.out / "table.json", json.dumps([asdict(share) for share in self.shares], indent=2) + "\n")

    def draw(self) -> None:
        """curves.png and gains.png, and the same as svg."""
        rows = {
            TITLES[schedule]: [
                Run(c, self.results[c, schedule].trace.steps, len(self.results[c, schedule].units))
                for c in self.criteria
            ]
            for schedule in SCHEDULES
        }
        curves = draw_schedules(rows, {TRAINING: "accuracy, training", HELD_OUT: "accuracy, held out"})
        oracle = self.results[self.criteria[0], "iterative"].at(stopping.never())
        gains = oracle.gain_curves(every=10, most=10)
        lines = [GainLine(c["unit"], c["gains"], c["errors"], c["step"]) for c in gains]
        for suffix in ("png", "svg"):
            save(curves, self.out / f"curves.{suffix}")
            if lines:
                save(draw_gains(lines), self.out / f"gains.{suffix}")


def subject(seed: int = 0, progress: bool = True) -> tuple[Subject, float]:
    """The paper's 400-100-10 network on mnist20, trained or from the cache, and the seconds that it took.

    Raises: SecateurError where the training did not reach 0.99 on its own examples.
    """
    start = time.perf_counter()
    with threads(THREADS):
        model = trained("mnist-acc99", seed=seed, progress=progress).model
    found = Subject(model, load("mnist20", flatten=True))
    if (reached := found.accuracy(model, "fit")) < LEAST_ACCURACY:
        raise SecateurError(
            f"the network reached {reached:.4f} on its training examples; the demo is about one that reaches "
            f"{LEAST_ACCURACY}. Take another --seed."
        )
    return found, time.perf_counter() - start


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.aside")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
