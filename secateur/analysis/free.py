"""Free removals: how many units certainly cost less than a point of accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secateur.errors import DataError
from secateur.gated import GatedLoss
from secateur.metrics import compare_answers, right_answers
from secateur.paired import Pairs, drop_bound, drop_p_value
from secateur.ranking import gates_at
from secateur.trace import Trace


@dataclass(frozen=True, slots=True)
class Free:
    """The certified number of removals: `removed`.

    `drop` is the drop observed there, `bound` its one-sided upper confidence bound (0 where nothing is removed).
    `tested` are the paired answers after 1, 2, 3 ... removals, to the first that is not certified,
    and `p_values` theirs.
    """

    removed: int
    drop: float
    bound: float
    tested: tuple[Pairs, ...]
    p_values: tuple[float, ...]


def free(trace: Trace, loss: GatedLoss, metric: str = "accuracy", drop: float = 0.01, confidence: float = 0.95) -> Free:
    """The largest number of removals along a trace that certainly cost less than a drop of accuracy, on fresh examples.

        max {m: p_1 ... p_m <= 1 - confidence},   p_j that of "the true drop after j removals is `drop` or more"

    Fixed-sequence testing: the steps are tested in their order, each at the full level, up to the first that is not
    certified. An error needs the first step whose true drop is too large to be certified; which one that is, the trace
    decided before the examples were seen. So P(true drop at m >= `drop`) <= 1 - confidence, without a correction for
    the number of steps. Each p is exact for any number of examples (see paired.py).

    `loss` is on examples that ranked no unit and stopped no run: `loss.on(splits.report.pair)`.

    Units:
        removals; `drop` and the bound are absolute, 0.01 is one point.
    Raises:
        DataError: the very examples that ranked the units in a run directory, several answers for each example, or no
        targets. UnknownNameError: a metric that is no share of right answers. RunError: a run of another network.
    Source:
        PAPER.md, "Definitions for the claims"; Maurer, Hothorn and Lehmacher (1995), a priori ordered hypotheses.

    >>> import torch
    >>> from secateur import stopping
    >>> from secateur.criteria import Oracle
    >>> from secateur.loop import remove_units
    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 3, bias=False), torch.nn.Linear(3, 2, bias=False)).eval()
    >>> model[0].weight.data = torch.tensor([[1.0], [0.5], [0.0]])
    >>> model[1].weight.data = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])  # either of the first two will do
    >>> x = torch.linspace(-1, 1, 1000)[:, None]
    >>> loss = GatedLoss(model, (x, (x[:, 0] < 0).long()))
    >>> trace = remove_units(loss, Oracle(), stopping.never(), min_units_per_site=0)
    >>> found = free(trace, loss.on((x[::2], (x[::2, 0] < 0).long())))
    >>> found.removed, found.tested[-1]
    (2, Pairs(lost=250, gained=0, same=250))
    """
    ranked_on = getattr(trace, "configuration", None)
    if isinstance(ranked_on, Mapping) and ranked_on.get("data") == loss.examples.digest:
        raise DataError(
            "these are the examples that ranked the units of this run, so they flatter it; expected untouched ones: "
            "pass loss.on((x, y)) of a report split."
        )
    before = right_answers(metric, loss.outputs().cpu(), loss.targets.cpu())
    tested: list[Pairs] = []
    p_values: list[float] = []
    for step in range(1, len(trace.removed) + 1):
        answers = loss.outputs(gates_at(loss.units, trace, step)).cpu()
        tested.append(compare_answers(before, right_answers(metric, answers, loss.targets.cpu())))
        p_values.append(drop_p_value(tested[-1], drop))
        if p_values[-1] > 1 - confidence:
            break
    removed = sum(p <= 1 - confidence for p in p_values)
    if not removed:
        return Free(0, 0.0, 0.0, tuple(tested), tuple(p_values))
    last = tested[removed - 1]
    return Free(removed, last.drop, drop_bound(last, confidence), tuple(tested), tuple(p_values))
