"""One round of the oracle over all units: every engine and every peer in turns, and whether they agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secateur import baselines, criteria, oracle, ranking
from secateur.bench.subjects import Subject
from secateur.bench.timing import Seconds, interleaved
from secateur.gated import GatedLoss


def oracle_round(
    subject: Subject,
    engines: Sequence[str],
    peers: Sequence[str] = (),
    *,
    rounds: int = 5,
    peer_units: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Seconds of one round by each engine and peer, their ratios, and how far their scores lie from the reference's.

        agreement = max over units of |score - reference| / (r sum over examples of (|loss on| + |loss off|))

    With `peer_units`, peers whose work grows with the units, and the reference that agreement is told by, are asked for
    a random sample of so many units; the peers' seconds are extrapolated by the forwards that all units take.

    Units: seconds; agreement has none, and evaluations that agree have 1 or less (a partial engine's scores may be
    estimates by design: then `regret`, the change of E by its choice beyond the least, tells); regret is a change of E.
    Raises: UnknownNameError for no engine or peer of that name; OptionError for a peer that can't measure the network.
    Source: docs/design.md, decision 2 (when two evaluations agree).
    """
    loss = subject.loss
    every = torch.arange(len(loss.units))
    sample = _sample(len(every), peer_units, seed)
    truth = _Truth.measure(loss, sample)
    for name in engines:
        oracle.resolve(name)
    removable = ranking.removable(loss.units, loss.gates(), min_units_per_site=1)
    made = {name: baselines.resolve(name)(loss) for name in peers}
    units_of = {name: sample if peer.samples else every for name, peer in made.items()}
    last: dict[str, Tensor] = {}
    reports: dict[str, Mapping[str, Any]] = {}
    partial: set[str] = set()

    def by_engine(name: str) -> Callable[[], None]:
        def run() -> None:
            criterion: Any = criteria.resolve("oracle", name)
            if getattr(criterion, "partial", False):
                partial.add(name)
                last[name] = criterion(loss, every, removable)
            else:
                last[name] = criterion(loss, every)
            reports[name] = report(criterion)

        return run

    def by_peer(name: str) -> Callable[[], None]:
        def run() -> None:
            last[name] = made[name](units_of[name])

        return run

    ways = {name: by_engine(name) for name in engines} | {name: by_peer(name) for name in made}
    for name in engines:
        ways[name]()  # compiles, fills caches; the peers have warmed up when they looked for their best settings
    measured = interleaved(ways, rounds)
    seconds: dict[str, Seconds] = {}
    for name, taken in measured.items():
        seconds[name] = taken
        if name in made:
            peer, units = made[name], units_of[name]
            seconds[name] = taken.times(peer.forwards(every) / peer.forwards(units))
    examples, records = len(loss.examples), []
    for name in ways:
        entry: dict[str, Any] = {"way": name, "kind": "peer" if name in made else "engine"}
        entry["seconds"] = seconds[name].record()
        entry["ratios"] = ratios(seconds[name], seconds)
        stands_for = len(every) * examples
        if name in made:
            peer, units = made[name], units_of[name]
            entry |= {"settings": dict(peer.settings), "note": peer.note, "measured_units": len(units)}
            entry["extrapolated"] = len(units) < len(every)
            entry["example_evaluations"] = {"stands_for": stands_for, "made": peer.forwards(every) * examples}
        else:
            entry |= {"measured_units": int((~last[name].isnan()).sum()), "partial": name in partial}
            entry["example_evaluations"] = {"stands_for": stands_for, "made": evaluations(reports[name], stands_for)}
        if name not in made or made[name].samples:
            scores = last[name] if name in made else last[name][sample]
            entry |= truth.compare(scores)
        records.append(entry)
    return {**subject.record(), "rounds": rounds, "reference_units": len(sample), "ways": records}


def ratios(one: Seconds, everything: Mapping[str, Seconds]) -> dict[str, float]:
    """How a way compares with the peers that were measured, by medians.

    >>> ratios(Seconds((1.0,)), {"plain": Seconds((50.0,)), "gradient": Seconds((0.5,))})
    {'faster_than_plain': 50.0, 'gradient_passes': 2.0}
    """
    found = {}
    for peer in ("plain", "captum"):
        if peer in everything:
            found[f"faster_than_{peer}"] = everything[peer].median / one.median
    if "gradient" in everything:
        found["gradient_passes"] = one.median / everything["gradient"].median
    return found


def report(criterion: Any) -> Mapping[str, Any]:
    """What an engine that keeps count tells of its work; nothing of others."""
    for teller in (criterion, getattr(criterion, "engine", None)):
        if callable(getattr(teller, "report", None)):
            return teller.report()  # pyright: ignore[reportOptionalMemberAccess]
    return {}


def evaluations(told: Mapping[str, Any], otherwise: int) -> int:
    """How many changes of single examples an engine has measured, those of its audits with them.

    >>> evaluations({"evaluations": 3, "audit_evaluations": 4}, 100), evaluations({}, 100)
    (7, 100)
    """
    return told["evaluations"] + told.get("audit_evaluations", 0) if "evaluations" in told else otherwise


def _sample(count: int, wanted: int | None, seed: int) -> Tensor:
    if wanted is None or wanted >= count:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[: max(1, wanted)].sort().values


@dataclass(frozen=True)
class _Truth:
    """What the reference engine says of some units."""

    names: Sequence[str]
    scores: Tensor
    removable: Tensor
    on: float
    tolerance: float
    whole: bool  # all units of the network

    @classmethod
    def measure(cls, loss: GatedLoss, units: Tensor) -> _Truth:
        every = list(loss.units)
        names = [every[unit].name for unit in units.tolist()]
        removable = torch.isin(units, ranking.removable(loss.units, loss.gates(), min_units_per_site=1))
        on = float(loss.per_example().abs().sum())
        scores = oracle.reference(loss, loss.gates(), units)
        return cls(names, scores, removable, on, loss.tolerance, len(units) == len(every))

    def compare(self, scores: Tensor) -> dict[str, Any]:
        """How far scores of the same units lie from these, and how much worse the unit that they choose is than the
        best. What was not measured is left out; of a sample nothing is chosen."""
        allowed = self.tolerance * (2 * self.on + self.scores.abs())  # |loss off| sums to |loss on| and the change
        apart = ((scores - self.scores).abs() / allowed)[~scores.isnan()]
        agreement = float(apart.max()) if len(apart) else None
        found = scores.where(self.removable, torch.nan)
        if not self.whole or bool(found.isnan().all()):
            return {"agreement": agreement, "chosen": None, "regret": None}
        chosen = ranking.lowest(found, self.on, self.tolerance)
        regret = float(self.scores[chosen] - self.scores[self.removable].min())
        return {"agreement": agreement, "chosen": self.names[chosen], "regret": regret}
