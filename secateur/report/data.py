"""What a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.errors import OptionError
from secateur.trace import Step


@dataclass(frozen=True, slots=True)
class ReportData:
    """A pruning run, as the report needs it.

    `configuration` is what run.json holds; every key may be missing, and the page then does not speak of it. `steps`
    begin with step 0, the untouched network, one removal each; `result_step` is the step that was kept and `reason` why
    the run stopped. `network` names what was pruned. `latency` holds {"before": {"median_ms", "low_ms", "high_ms"},
    "after": {...}, "batch", "threads"}; `gain_curves` one {"unit", "gains", "errors", "step"} a curve; `refused` a
    sentence for each group of units that cannot be removed; `others` the steps of other criteria, for comparison.

    Shape: configuration["sites"] lists {"layer", "kind", "units": names}, in order of execution.
    Units: params count parameters, bytes bytes, flops floating point operations for one example.
    Raises: OptionError: no steps, or no step of the number result_step.
    """

    configuration: Mapping[str, Any]
    steps: Sequence[Step]
    result_step: int
    reason: str = ""
    network: str = ""
    latency: Mapping[str, Any] | None = None
    gain_curves: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[str] = ()
    others: Sequence[tuple[str, Sequence[Step]]] = ()

    def __post_init__(self) -> None:
        if not self.steps:
            raise OptionError("a report needs at least step 0, the untouched network; got no steps.")
        if all(step.step != self.result_step for step in self.steps):
            raise OptionError(
                f"result_step is {self.result_step}, but the steps go from {self.steps[0].step} to "
                f"{self.steps[-1].step}. Give the number of one of them."
            )

    @property
    def before(self) -> Step:
        return self.steps[0]

    @property
    def result(self) -> Step:
        return next(step for step in self.steps if step.step == self.result_step)

    @property
    def sites(self) -> list[tuple[str, str, list[str]]]:
        """(layer, kind, names of the units) for each site; made up from the trace where the configuration has none."""
        given = self.configuration.get("sites") or []
        sites = [(str(s.get("layer", "")), str(s.get("kind", "unit")), [str(u) for u in s["units"]]) for s in given]
        named = {name for _, _, names in sites for name in names}
        strays: dict[str, list[str]] = {}
        for step in self.steps:
            if step.unit is not None and step.unit not in named:
                strays.setdefault(step.unit.rpartition(":")[0] or step.unit, []).append(step.unit)
        return sites + [(layer, "unit", names) for layer, names in strays.items()]

    @property
    def total(self) -> int:
        """How many units the network had."""
        listed = sum(len(names) for _, _, names in self.sites)
        given = self.configuration.get("units")
        return max(listed, given) if isinstance(given, int) and not isinstance(given, bool) else listed
