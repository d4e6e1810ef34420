"""One forward and backward pass: what a first-order Taylor score costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from secateur.baselines.passes import batches, error, fastest, sizes
from secateur.baselines.places import places
from secateur.gated import GatedLoss, Tile, exactly


class GradientPass:
    """First-order scores by one backward pass of the user's own module, to what its readers read.

        score_u = -sum over readers, examples, columns c of u of value_c dE/dvalue_c

    The parameters' own gradients are not computed: a score has no need of them. All units are scored by one pass.

    Shape: units (n,) positions -> (n,) float64.
    Units: estimated change of the error, summed over examples.
    Raises: OptionError where the module's readers are no plain layers.
    Source: Mozer and Smolensky, 1989 (Skeletonization).

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = nn.init.ones_(layer.weight)
    >>> GradientPass(GatedLoss(model, (torch.ones(1, 1), torch.zeros(1, 1)), "sse"))(torch.tensor([0]))  # -2
    tensor([-2.], dtype=torch.float64)
    """

    samples = False
    note = "a pass with backward; estimates, not changes"

    def __init__(self, loss: GatedLoss) -> None:
        self.loss, self.places = loss, places(loss)
        everything = torch.arange(len(loss.units))
        self.batch = fastest(sizes(loss), lambda size: self._scores(everything, batches(loss, size)))
        self.tiles = batches(loss, self.batch)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"batch": self.batch}

    def forwards(self, units: Tensor) -> int:
        """One pass scores all units."""
        return 1

    def __call__(self, units: Tensor) -> Float64[Tensor, " units"]:
        return self._scores(units, self.tiles)

    def _scores(self, units: Tensor, tiles: list[Tile]) -> Tensor:
        totals = torch.zeros(len(self.loss.units) + 1, dtype=torch.float64)  # the last for columns of no unit
        with torch.enable_grad(), exactly(), _frozen(self.loss.model):
            for tile in tiles:
                with self._recorded() as reads:
                    total = error(self.loss, [tile])
                slopes = torch.autograd.grad(total, [value for _, value in reads])
                for (at, value), slope in zip(reads, slopes, strict=True):
                    place = self.places[at]
                    product = (value.detach() * slope).movedim(place.dim, 0).flatten(1).sum(1)
                    totals.index_add_(0, place.owner % len(totals), -product.to("cpu", torch.float64))
        return totals[units]

    @contextmanager
    def _recorded(self) -> Iterator[list[tuple[int, Tensor]]]:
        """What each place reads in the passes made inside, as a value of its own that gradients reach."""
        reads: list[tuple[int, Tensor]] = []
        hooks = []
        for at, place in enumerate(self.places):

            def record(_: nn.Module, inputs: tuple[Tensor, ...], at: int = at) -> tuple[Tensor, ...]:
                value = inputs[0].view_as(inputs[0])  # several places may read one tensor: each has its share
                if not value.requires_grad:
                    value = value.detach().requires_grad_()
                reads.append((at, value))
                return (value, *inputs[1:])

            hooks.append(place.layer.register_forward_pre_hook(record))
        try:
            yield reads
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No gradients of parameters inside."""
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in free:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in free:
            parameter.requires_grad_(True)
