"""Measure only the most promising units: earlier rounds tell which those are, bounds what can't be missed."""

from __future__ import annotations

import math
import random
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.oracle.bounds import bounded_units, bounds
from secateur.oracle.exact import exact
from secateur.oracle.options import require_share, require_whole
from secateur.oracle.prediction import slope_and_curvature
from secateur.oracle.sampling import only
from secateur.oracle.tally import Tally


@dataclass(frozen=True)
class Lazy:
    """The oracle, asked about the most promising units only.

        predicted_u = now_u + (score_u - then_u),   now and then: a cheap estimate in this round and when u was measured
        measured = the `fresh` units of the lowest prediction; with `certify` all that may be the best, where bounds
        tell

    What it promises: each score that it gives is exact. The unit it chooses is the exact engine's in a round that it
    counts as `certain` (with `certify`: in every round of a network whose units are all read by the last linear layer
    alone, under cross_entropy, bce or squares). In other rounds it is the best of those measured, and nothing is
    promised; a share `audit` of the rounds, drawn by `seed`, is measured in full, and the report tells how often the
    choice was the best, and by how much it was worse. The first round is measured in full.

    The estimate is first order and half the Gauss-Newton curvature ("curvature"), first order alone ("slope"), or
    nothing ("stale": the score when it was measured). It is made on `sample` examples, the same in all rounds, so that
    what they leave out goes into score_u - then_u.

    Shape:
        gates (K,), units (n,) positions -> (n,) float64; as an engine without a run, every unit is measured.
    Units:
        change of the error, summed over examples; NaN where it was not measured.
    Raises:
        OptionError: `fresh` or `sample` below 1, `audit` not a share, an unknown predictor.
    Source:
        M. Minoux 1978, lazy evaluation in greedy algorithms; docs/oracle.md.
    """

    fresh: int = 10
    audit: float = 0.02
    certify: bool = True
    predictor: str = "curvature"
    sample: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole(self, "fresh", "how many units to measure in a round")
        require_whole(self, "sample", "how many examples to estimate from")
        require_share(self, "audit", "the rounds to measure in full")
        if self.predictor not in ("curvature", "slope", "stale"):
            raise OptionError(f"predictor={self.predictor!r}; expected 'curvature', 'slope' or 'stale'")

    def __call__(
        self, loss: GatedLoss, gates: Float64[Tensor, " all"], units: Int64[Tensor, " units"]
    ) -> Float64[Tensor, " units"]:
        return exact(loss, gates, units)

    def begin(self) -> LazyRun:
        """A fresh engine for the rounds of one run."""
        return LazyRun(self)


class LazyRun:
    """The rounds of a run by `Lazy`. Of each unit it remembers its score when measured, what the estimate was then, and
    how far the score may have moved since (inf: anywhere)."""

    partial = True

    def __init__(self, options: Lazy) -> None:
        self.options = options
        self._loss: weakref.ref[GatedLoss] | None = None
        self._some: GatedLoss | None = None
        self._forget(0)

    def __call__(
        self,
        loss: GatedLoss,
        gates: Float64[Tensor, " all"],
        units: Int64[Tensor, " units"],
        candidates: Tensor | None = None,
    ) -> Float64[Tensor, " units"]:
        if candidates is None:
            return exact(loss, gates, units)
        alive = gates.nonzero().flatten().tolist()
        if not self._continues(loss, alive, len(gates)):
            self._forget(len(gates))
        number, first = len(gates) - len(alive), not self.alive
        now = self._estimate(loss, gates, number)
        lower, error = self._bounds(loss, gates, sorted(set(self.alive) - set(alive)), candidates.cpu())
        this = Round(loss, gates, candidates.cpu(), lower, error)
        predicted = now + (self.scores - self.then).nan_to_num(0.0)
        this.search(predicted, len(candidates) if first else self.options.fresh, self.options.certify)
        self.tally = self.tally.after(this.evaluations, len(alive) * len(loss.examples), this.certain)
        if not first and random.Random(f"{self.options.seed}/{number}").random() < self.options.audit:
            choice, spent = this.choice, this.evaluations
            this.measure(this.unmeasured)
            self.tally = self.tally.audit(
                float(this.scores[choice]) - this.best, this.slack, error, this.evaluations - spent
            )
        self._remember(loss, alive, this, now)
        return this.scores[units.cpu()].to(gates.device)

    def state(self) -> dict[str, Any]:
        """What it remembers, JSON-able."""
        known = (~self.scores.isnan()).nonzero().flatten()
        moved = [None if math.isinf(value) else value for value in self.moved[known].tolist()]
        return {
            "count": len(self.scores),
            "alive": self.alive,
            "known": known.tolist(),
            "scores": self.scores[known].tolist(),
            "then": self.then[known].tolist(),
            "moved": moved,
            "tally": asdict(self.tally),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` told."""
        self._loss = None
        self._forget(state["count"])
        known = torch.tensor(state["known"], dtype=torch.int64)
        moved = [math.inf if value is None else value for value in state["moved"]]
        self.alive, self.tally = list(state["alive"]), Tally(**state["tally"])
        for kept, values in ((self.scores, state["scores"]), (self.then, state["then"]), (self.moved, moved)):
            kept[known] = torch.tensor(values, dtype=torch.float64)

    def report(self) -> dict[str, Any]:
        """What the run has cost, and how its audited rounds came out: see Tally."""
        return self.tally.report(self.options)

    def _continues(self, loss: GatedLoss, alive: Sequence[int], count: int) -> bool:
        """Whether this is a later round of the run that is remembered."""
        same = self._loss is None or self._loss() is loss
        return same and len(self.scores) == count and set(alive) < set(self.alive)

    def _forget(self, count: int) -> None:
        self.alive: list[int] = []
        self.scores = torch.full((count,), math.nan, dtype=torch.float64)
        self.then = torch.zeros(count, dtype=torch.float64)
        self.moved = torch.full((count,), math.inf, dtype=torch.float64)
        self.tally = Tally()

    def _estimate(self, loss: GatedLoss, gates: Tensor, number: int) -> Tensor:
        """What a score is thought to be but for a part that changes slowly."""
        if self.options.predictor == "stale":
            return torch.zeros_like(self.scores)
        some, share = self._sampled(loss), len(loss.examples) / min(self.options.sample, len(loss.examples))
        if self.options.predictor == "slope":
            return -share * some.gradient(gates).cpu()
        first, curved = slope_and_curvature(some, gates, self.options.seed + number)
        return share * (first + curved).cpu()

    def _sampled(self, loss: GatedLoss) -> GatedLoss:
        """The loss on the examples to estimate from."""
        if self.options.sample >= len(loss.examples):
            return loss
        if self._some is None or self._loss is None or self._loss() is not loss:
            draw = torch.Generator().manual_seed(self.options.seed)
            self._some = only(
                loss, torch.randperm(len(loss.examples), generator=draw)[: self.options.sample].sort().values
            )
        return self._some

    def _bounds(
        self, loss: GatedLoss, gates: Tensor, removed: Sequence[int], candidates: Tensor
    ) -> tuple[Tensor, float]:
        """What each score is at least, rounding included, and E(g)."""
        if not bool(bounded_units(loss)[candidates].all()):  # one without a bound, and no round can be certain
            self.moved.fill_(math.inf)
            return torch.full_like(self.scores, -math.inf), float(loss(gates))
        found = bounds(loss, gates, torch.tensor(removed, dtype=torch.int64))
        self.moved += found.spread.sum(1).cpu()
        lower = found.lower.cpu().maximum((self.scores - self.moved).nan_to_num(-math.inf))
        return lower - loss.tolerance * (2 * found.error + lower.abs().nan_to_num(posinf=0.0)), found.error

    def _remember(self, loss: GatedLoss, alive: list[int], this: Round, now: Tensor) -> None:
        self._loss, self.alive = weakref.ref(loss), alive
        measured = ~this.scores.isnan()
        rounding = loss.tolerance * (2 * this.error + this.scores.abs())
        self.scores = this.scores.where(measured, self.scores)
        self.then = now.where(measured, self.then)
        self.moved = rounding.where(measured, self.moved)


class Round:
    """One round: what has been measured in it."""

    def __init__(self, loss: GatedLoss, gates: Tensor, candidates: Tensor, lower: Tensor, error: float) -> None:
        self.loss, self.gates, self.candidates, self.lower, self.error = loss, gates, candidates, lower, error
        self.scores = torch.full(gates.shape, math.nan, dtype=torch.float64)

    def search(self, predicted: Tensor, fresh: int, certify: bool) -> None:
        """Measure the `fresh` units of the lowest prediction; and then all that may still be the best, where there are
        bounds for each of these, so that the choice becomes certain."""
        self.measure(_lowest(predicted, self.candidates, fresh))
        while certify and len(left := self.open) and bool((self.lower[left] > -math.inf).all()):
            self.measure(_lowest(predicted, left, fresh))

    def measure(self, units: Tensor) -> None:
        self.scores[units] = exact(self.loss, self.gates, units.to(self.gates.device)).cpu()

    @property
    def evaluations(self) -> int:
        return int((~self.scores.isnan()).sum()) * len(self.loss.examples)

    @property
    def unmeasured(self) -> Tensor:
        return self.candidates[self.scores[self.candidates].isnan()]

    @property
    def best(self) -> float:
        return float(self.scores.nan_to_num(math.inf).min())

    @property
    def slack(self) -> float:
        """Scores that differ from the best by no more are tied with it: docs/design.md, decisions 2 and 3."""
        return self.loss.tolerance * (abs(self.error) + abs(self.error + self.best))

    @property
    def choice(self) -> int:
        return int((self.scores <= self.best + self.slack).nonzero()[0])

    @property
    def open(self) -> Tensor:
        """The candidates that may still be the best, or tied with it."""
        return self.unmeasured[self.lower[self.unmeasured] <= self.best + 2 * self.slack]

    @property
    def certain(self) -> bool:
        """Whether the best of all candidates, and all that tie with it, have been measured."""
        return not len(self.open)


def _lowest(predicted: Tensor, units: Tensor, count: int) -> Tensor:
    """The units of the lowest predictions, in ascending order."""
    return units[predicted[units].argsort(stable=True)[:count]].sort().values
