"""What a run of an engine has cost, and how its audited rounds came out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Tally:
    """Counts over the rounds of a run; all JSON-able.

    `evaluations`: losses of single examples that were computed with a unit off; `exact_evaluations`: those of an exact
    engine that measures every alive unit; `audit_evaluations`: what the audits took beside. `certain`: rounds whose
    choice is surely the exact engine's. `audited`: rounds that were measured in full beside; `agreed`: those of them
    in which the engine had chosen a unit that ties with the best; `regret` and `worst`: by how much its choice was
    worse than the best, the sum and the most, in shares of E(g).

    >>> Tally(evaluations=30, exact_evaluations=300).saving
    10.0
    """

    rounds: int = 0
    evaluations: int = 0
    exact_evaluations: int = 0
    certain: int = 0
    audited: int = 0
    audit_evaluations: int = 0
    agreed: int = 0
    regret: float = 0.0
    worst: float = 0.0

    @property
    def saving(self) -> float:
        """How many times fewer evaluations than an exact engine's, those of the audits left out."""
        return self.exact_evaluations / self.evaluations if self.evaluations else 1.0

    def report(self, engine: object) -> dict[str, Any]:
        """What the run of that engine tells of its cost, JSON-able."""
        return {"engine": repr(engine), **asdict(self), "saving": self.saving}

    def after(self, evaluations: int, exact_evaluations: int, certain: bool) -> Tally:
        """One round more."""
        return replace(
            self,
            rounds=self.rounds + 1,
            evaluations=self.evaluations + evaluations,
            exact_evaluations=self.exact_evaluations + exact_evaluations,
            certain=self.certain + certain,
        )

    def audit(self, excess: float, slack: float, error: float, evaluations: int) -> Tally:
        """The engine's choice was worse than the best by `excess` (up to `slack` they are tied), which it took so many
        evaluations to see."""
        regret = 0.0 if excess <= slack else excess / error if error else 1.0
        return replace(
            self,
            audited=self.audited + 1,
            audit_evaluations=self.audit_evaluations + evaluations,
            agreed=self.agreed + (excess <= slack),
            regret=self.regret + regret,
            worst=max(self.worst, regret),
        )
