"""What a run hands back: its trace, the smaller network, the report and the bundle."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from secateur import stopping
from secateur.analysis import gain_curve
from secateur.costs import latency
from secateur.errors import OptionError
from secateur.gated import GatedLoss
from secateur.io import save_bundle
from secateur.surgery import cut_network
from secateur.trace import Reason, Step, Trace
from secateur.types import Unit
from secateur.units import UnitSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from secateur.report import ReportData


@dataclass(frozen=True)
class Result:
    """A finished run: its trace, the step that was kept, and the network that is left.

    `trace.steps` holds every step that was measured; `step` is the last one that the stop let pass, `reason` says why.
    """

    loss: GatedLoss
    trace: Trace
    stop: stopping.Stop
    configuration: Mapping[str, Any]
    path: Path | None = None
    network: str = ""

    @cached_property
    def _end(self) -> tuple[Step, Reason]:
        return self.trace.result(self.stop)

    @property
    def step(self) -> Step:
        """The last step before the first violation of the stop."""
        return self._end[0]

    @property
    def reason(self) -> Reason:
        """Why the run stands where it does."""
        return self._end[1]

    @property
    def removed(self) -> tuple[Unit, ...]:
        """The units that are gone in the result, in order of removal."""
        return tuple(self.loss.units[name] for name in self.trace.removed[: self.step.step])

    @property
    def units(self) -> UnitSet:
        """All units of the untouched network."""
        return self.loss.units

    @cached_property
    def model(self) -> nn.Module:
        """The smaller network: a cut copy of the user's own, verified against the gated one on a tile of the examples.

        Raises: UnitError where all units of a site are gone (min_units_per_site=0 is for experiments with gates only).
        """
        if not self.removed:
            return copy.deepcopy(self.loss.model)
        return cut_network(self.loss.network, self._positions, self._example())

    @property
    def _positions(self) -> list[int]:
        return self.loss.units.positions(self.removed)

    def _example(self, most: int = 64) -> Any:
        examples = self.loss.examples
        rows = [x[:most].to(self.loss.device) for x in examples.inputs]
        return dict(zip(examples.keywords, rows, strict=True)) if examples.keywords else tuple(rows)

    def at(self, stop: stopping.Stop) -> Result:
        """What this run would have handed back under another stop, from the steps that were measured."""
        configuration = {**self.configuration, "stop": str(stop)}
        return Result(self.loss, self.trace, stop, configuration, self.path, self.network)

    def plot(self) -> Figure:
        """Error and metrics against the units removed, the result marked."""
        from secateur.plots import Run, draw_curves

        label = str(self.configuration["criterion"])
        return draw_curves([Run(label, self.trace.steps, len(self.units), self.step.step)])

    def report(
        self, path: str | os.PathLike[str] | None = None, *, others: Sequence[tuple[str, Sequence[Step]]] = ()
    ) -> Path:
        """Write the run as one self-contained page; by default report.html in the run directory.

        `others`: labelled steps of other runs, for comparison in its figures. Of several ranks only the first writes.

        Raises: OptionError without a path for a run that has no directory.
        """
        from secateur.report import write_report

        if path is None:
            if self.path is None:
                raise OptionError('this run has no directory; say where: result.report("report.html")')
            path = self.path / "report.html"
        if self.loss.executor.rank > 0:
            return Path(path)
        return write_report(path, self._report_data(others))

    def save(self, path: str | os.PathLike[str], *, report: str | os.PathLike[str] | None = None) -> Path:
        """Write the bundle: plan.json, model.safetensors, model.pt2, load.py and report.html.

        `report`: a page that `Result.report` wrote already, to be copied; by default it is made. Of several ranks only
        the first writes.

        Raises: BundleError where the folder holds something else.
        """
        if self.loss.executor.rank > 0:
            return Path(path)
        if report is not None:
            return save_bundle(path, self.loss.network, self._positions, self.model, Path(report))
        with tempfile.TemporaryDirectory() as aside:
            page = self.report(Path(aside) / "report.html")
            return save_bundle(path, self.loss.network, self._positions, self.model, page)

    def gain_curves(self, every: int = 10, most: int = 6) -> list[dict[str, Any]]:
        """Gain curves from 0 to 10 of the units about to be removed at every n-th step, as the paper draws them."""
        gains = [*torch.linspace(0, 2, 21).tolist(), *torch.linspace(2.25, 10, 32).tolist()]
        steps = list(range(0, self.step.step, every))
        steps = steps[:: max(1, -(-len(steps) // most))]
        curves = []
        for at in steps:
            gone = set(self.loss.units.positions(self.trace.removed[:at]))
            alive = torch.tensor([u for u in range(len(self.units)) if u not in gone])
            unit = self.trace.removed[at]
            errors = gain_curve(self.loss, unit, gains, alive)
            curves.append({"unit": unit, "gains": gains, "errors": errors.tolist(), "step": at})
        return curves

    def _report_data(self, others: Sequence[tuple[str, Sequence[Step]]]) -> ReportData:
        from secateur.report import ReportData

        small, inputs = self.model, self._example()
        times: dict[str, Any] | None = None
        if not isinstance(inputs, dict):
            before, after = latency([self.loss.model, small], inputs)
            times = {"before": asdict(before), "after": asdict(after)}
            times |= {"batch": len(inputs[0]), "threads": torch.get_num_threads()}
        return ReportData(
            self.configuration,
            self.trace.steps,
            self.step.step,
            str(self.reason),
            self.network,
            times,
            self.gain_curves(),
            [str(refusal) for refusal in self.units.refused],
            others,
        )
