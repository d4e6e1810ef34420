"""Measure on a sample of the examples, and drop the units that are worse, surely enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.oracle.confidence import lower_bound
from secateur.oracle.exact import exact
from secateur.oracle.influence import influence
from secateur.oracle.options import require_share, require_whole
from secateur.oracle.residue import Residue, residue
from secateur.oracle.sampling import changes_at
from secateur.oracle.slopes import slopes
from secateur.oracle.tally import Tally


@dataclass(frozen=True)
class Racing:
    """The oracle on a sample of the examples, which grows until one unit is the best, surely enough.

        with probability >= 1 - delta over the draws, in all rounds:  E(g - e_chosen) <= min_u E(g - e_u) + eps_t

    on these examples, where eps_t <= eps E(g) is what the report tells, and 0 where one unit has outlived all others or
    everything was measured. That holds for units whose change in a single example is bounded (dense, convolutional and
    residual networks of the usual activations under a named loss: `influence`); a round with another unit among its
    candidates is `audited` instead: the bound there is supposed, nothing is promised, and a share `audit` of such
    rounds is measured in full.

    Examples are drawn without replacement, with weights .9 |first order| + .1 bound, anew in every round by (seed,
    round); the first-order values, whose total is known, are control variates. A round costs one pass forward and back,
    and at most what the exact engine evaluates.

    Shape:
        gates (K,), units (n,) positions -> (n,) float64; as an engine without a run, every unit is measured.
    Units:
        change of the error, summed over examples; NaN for the units that were not chosen, an estimate for the one that
        was (exact where all examples were drawn).
    Raises:
        OptionError: delta, eps, audit or first out of range.
    Source:
        O. Maron, A. Moore, Hoeffding races, 1994; docs/oracle.md.
    """

    delta: float = 0.05
    eps: float = 1e-3
    audit: float = 0.05
    first: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1:
            raise OptionError(f"delta={self.delta!r}; expected a probability above 0 and below 1")
        if not 0 <= self.eps < math.inf:
            raise OptionError(f"eps={self.eps!r}; expected a share of the error, 0 or more")
        require_share(self, "audit", "the rounds to measure in full")
        require_whole(self, "first", "how many examples to draw first")

    def __call__(
        self, loss: GatedLoss, gates: Float64[Tensor, " all"], units: Int64[Tensor, " units"]
    ) -> Float64[Tensor, " units"]:
        return exact(loss, gates, units)

    def begin(self) -> RacingRun:
        """A fresh engine for the rounds of one run."""
        return RacingRun(self)


class RacingRun:
    """The rounds of a run by `Racing`. It remembers nothing but what the report tells."""

    partial = True

    def __init__(self, options: Racing) -> None:
        self.options = options
        self.tally = Tally()
        self.eps: dict[str, float] = {}
        self._reached: tuple[GatedLoss, Tensor] | None = None

    def __call__(
        self,
        loss: GatedLoss,
        gates: Float64[Tensor, " all"],
        units: Int64[Tensor, " units"],
        candidates: Tensor | None = None,
    ) -> Float64[Tensor, " units"]:
        if candidates is None:
            return exact(loss, gates, units)
        number = int((gates == 0).sum())
        if number == 0:
            self.tally, self.eps = Tally(), {}
        candidates = candidates.to(gates.device)
        race = Race(loss, gates, candidates, self._influence(loss), self.options, number)
        race.run()
        self.tally = self.tally.after(race.evaluations, len(units) * len(loss.examples), race.complete)
        if race.proved or race.complete:
            self.eps[str(number)] = race.eps
        elif torch.rand((), generator=race.draw) < self.options.audit:
            scores = exact(loss, gates, candidates)
            best, at = float(scores.min()), int((candidates == race.chosen).nonzero()[0])
            slack = loss.tolerance * (2 * race.error + abs(best))
            spent = len(candidates) * len(loss.examples)
            self.tally = self.tally.audit(float(scores[at]) - best, slack, race.error, spent)
        return race.scores()[units]

    def state(self) -> dict[str, Any]:
        """What it remembers, JSON-able."""
        return {"tally": asdict(self.tally), "eps": dict(self.eps)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` told."""
        self.tally, self.eps = Tally(**state["tally"]), dict(state["eps"])

    def report(self) -> dict[str, Any]:
        """What the run has cost, and eps_t, by round, of the rounds that have a guarantee: see Tally."""
        return {**self.tally.report(self.options), "guaranteed": len(self.eps), "eps": dict(self.eps)}

    def _influence(self, loss: GatedLoss) -> Tensor:
        """It holds for any gates, so once is enough."""
        if self._reached is None or self._reached[0] is not loss:
            self._reached = loss, influence(loss)
        return self._reached[1]


class Race:
    """One round: the candidates left, and what has been drawn."""

    def __init__(
        self, loss: GatedLoss, gates: Tensor, candidates: Tensor, reached: Tensor, options: Racing, number: int
    ) -> None:
        self.loss, self.gates, self.candidates, self.options = loss, gates, candidates, options
        self.draw = torch.Generator().manual_seed((options.seed * 1_000_003 + number) % (1 << 63))
        known = slopes(loss, gates)
        self.error = float(known.on.sum())
        limits = residue(loss, gates, known, reached)
        self.proved = bool(limits.proved[candidates].all())
        self.first = known.first[:, candidates]
        self.limits = Residue(limits.low[:, candidates], limits.high[:, candidates], limits.proved[candidates])
        self.total = self.first.sum(0)
        weights = self._weights()
        # The order of keys -log(uniform) / weight is that of drawing one by one, each by its weight among those left.
        keys = -torch.rand(len(weights), generator=self.draw, dtype=torch.float64).log().to(weights.device) / weights
        self.order = keys.argsort()
        self.weights = weights[self.order]
        self.left = self.weights.flip(0).cumsum(0).flip(0)
        pairs = len(candidates) * max(1, len(candidates) - 1)
        self.alpha = options.delta / (len(gates) * pairs)  # over as many rounds as there are units, and all pairs
        self.drawn = known.first.new_zeros(0, len(candidates))
        self.batches: list[int] = []
        self.alive = torch.ones(len(candidates), dtype=torch.bool, device=gates.device)
        self.evaluations, self.leader, self.eps = 0, int(self.total.argmin()), 0.0

    def run(self) -> None:
        """Draw until one unit is left, or those left are within eps, or every example is drawn."""
        while int(self.alive.sum()) > 1 and len(self.drawn) < len(self.order):
            self._draw()
            self.leader = int(self.estimates().where(self.alive, torch.inf).argmin())
            margin = self._margins()
            self.alive &= margin <= 0
            self.alive[self.leader] = True
            others = self.alive.clone()
            others[self.leader] = False
            self.eps = float((-margin[others]).clamp_min(0.0).max()) if bool(others.any()) else 0.0
            if self.eps <= self.options.eps * self.error:
                return
        if len(self.drawn) == len(self.order):
            self.eps = 0.0

    @property
    def chosen(self) -> int:
        return int(self.candidates[self.leader])

    @property
    def complete(self) -> bool:
        """Whether every candidate was measured on every example."""
        return self.evaluations == self.first.numel()

    def scores(self) -> Tensor:
        """(K,): the estimate of the unit that is chosen; all that are left, where every example was drawn."""
        found = torch.full_like(self.gates, math.nan)
        shown = self.alive.clone()
        if len(self.drawn) < len(self.order):
            shown[:] = False
            shown[self.leader] = True
        found[self.candidates[shown]] = self.estimates()[shown]
        return found

    def estimates(self) -> Tensor:
        """First order, the residues drawn, and for those left the mean of residue over weight, times their weight."""
        if not len(self.drawn):
            return self.total
        ratio = (self.drawn / self.weights[: len(self.drawn), None]).mean(0)
        left = self.left[len(self.drawn)] if len(self.drawn) < len(self.order) else 0.0
        return self.total + self.drawn.sum(0) + left * ratio

    def _weights(self) -> Tensor:
        """.9 |first order| + .1 bound, each as shares of its sum, averaged over the candidates."""
        slope, bound = self.first.abs(), self.limits.high.maximum(-self.limits.low)
        shares = [part / part.sum(0).clamp_min(1e-300) for part in (slope, bound)]
        weights = 0.9 * shares[0].mean(1) + 0.1 * shares[1].mean(1)
        return weights.clamp_min(1e-12 * float(weights.max()) if float(weights.max()) > 0 else 1.0)

    def _draw(self) -> None:
        """A quarter more examples, in which every unit left is measured."""
        start = len(self.drawn)
        examples = self.order[start : start + max(self.options.first, start // 4)]
        who = self.alive.nonzero().flatten()
        changes = changes_at(self.loss, self.gates, self.candidates[who], examples).T - self.first[examples][:, who]
        low, high = self.limits.low[examples][:, who], self.limits.high[examples][:, who]
        part = self.drawn.new_zeros(len(examples), len(self.candidates))
        part[:, who] = torch.minimum(torch.maximum(changes, low), high)  # rounding may step over a bound
        self.drawn = torch.cat((self.drawn, part))
        self.batches.append(len(examples))
        self.evaluations += len(examples) * len(who)

    def _margins(self) -> Tensor:
        """By how much each unit left is worse than the leader, at the least."""
        who = self.alive.nonzero().flatten()
        lead = self.leader
        start, least = 0, []
        low = (self.limits.low[:, who] - self.limits.high[:, lead, None])[self.order]
        for size in self.batches:
            least.append((low[start:] / self.weights[start:, None]).amin(0))
            start += size
        draws = self.drawn[:, who] - self.drawn[:, lead, None]
        weights, left = self.weights[:start], self.left[:start]
        sure = draws.sum(0) + low[start:].sum(0)
        found = lower_bound(draws, weights, left, self.batches, torch.stack(least), self.alpha)
        margin = torch.full_like(self.total, torch.inf)
        margin[who] = self.total[who] - self.total[lead] + sure.maximum(found)
        return margin
