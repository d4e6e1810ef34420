"""The scale of an error: what the network explains beyond the best constant output."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn import functional

from secateur.errors import DataError, OptionError
from secateur.gated import GatedLoss

MOST_STEPS = 200
"""Of the search for the best constant under a user's own loss."""


def error_scale(loss: GatedLoss) -> Float64[Tensor, ""]:
    """The error that the network saves beside the best constant output: the unit in which tolerances are told.

        S = E(best constant output) - E(1)

    Shape:
        a float64 scalar, above 0.
    Units:
        error, summed over examples.
    Raises:
        OptionError: the network is no better than a constant, so no tolerance can be told as a part of S; or as
        `constant_error`.
    Source:
        PAPER.md, "Definitions for the claims".

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2, bias=False), torch.nn.Linear(2, 1, bias=False)).eval()
    >>> for layer in model:
    ...     _ = torch.nn.init.ones_(layer.weight)  # answers 2 x
    >>> loss = GatedLoss(model, (torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])), loss="sse")
    >>> error_scale(loss)  # the constant 1.5 errs by 2.25, the network by 0.5
    tensor(1.7500, dtype=torch.float64)
    """
    constant, error = constant_error(loss), loss().detach()
    if not bool(constant > error):
        raise OptionError(
            f"the network's error is {float(error):.6g} and that of the best constant output {float(constant):.6g}; "
            "expected a network that is better than a constant: train it, or score it on examples that it knows."
        )
    return constant - error


def constant_error(loss: GatedLoss) -> Float64[Tensor, ""]:
    """The error of the best output that is the same for all examples.

        min over c of sum_n loss(c, y_n)

    sse, mse and self: c is the mean of the targets. cross_entropy: the logarithms of the class frequencies. bce: the
    logits of the mean targets. A user's own function is minimised over c by L-BFGS, from the mean output: the minimum
    is global where the function is convex in the output.

    Shape:
        a float64 scalar.
    Units:
        error, summed over examples.
    Raises:
        OptionError: a user's own function that can't be differentiated in the output.
        DataError: a user's own function of an output that is not one tensor.
    Source:
        PAPER.md, "Definitions for the claims".

    >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1)).eval()
    >>> constant_error(GatedLoss(model, (torch.zeros(2, 1), torch.tensor([[0.0], [2.0]])), loss="sse"))  # c = 1
    tensor(1., dtype=torch.float64)
    """
    if not isinstance(loss.loss, str):
        return _minimised(loss)
    targets = torch.cat([tile.target for tile in loss.tiles()])
    if loss.loss == "cross_entropy":
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, loss.classes).movedim(-1, 1)
        frequency = targets.double().mean(0)
        return -len(targets) * torch.special.xlogy(frequency, frequency).sum()
    mean = targets.mean(0)
    if loss.loss == "bce":
        terms = torch.special.xlogy(mean, mean) + torch.special.xlogy(1 - mean, 1 - mean)
        return -len(targets) * terms.sum()
    squares = (targets - mean).square()
    if loss.loss == "mse":
        return squares.flatten(1).mean(1).sum() if squares.dim() > 1 else squares.sum()
    if loss.loss in ("sse", "self"):
        return squares.sum() / 2
    raise OptionError(f"the best constant output is not known for the loss {loss.loss!r}; pass it as a function.")


def _minimised(loss: GatedLoss) -> Tensor:
    first = next(loss.tiles())
    if not isinstance(loss.network(first.inputs, loss.gates()), Tensor):
        raise DataError("the network's answer is not one tensor, so its best constant is not known; pass a named loss")
    constant = loss.outputs().double().mean(0).requires_grad_(True)
    search = torch.optim.LBFGS(
        [constant], max_iter=MOST_STEPS, tolerance_grad=1e-12, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def error() -> Tensor:
        parts = [loss.losses(constant.expand(len(tile), *constant.shape), tile).sum() for tile in loss.tiles()]
        return torch.stack(parts).sum()

    def closure() -> Tensor:
        search.zero_grad()
        total = error()
        if not total.requires_grad:
            raise OptionError(
                "the loss function does not let gradients through, so the best constant output can't be found; write "
                "it in torch's differentiable operators, or use a named loss."
            )
        total.backward()
        return total

    with torch.enable_grad():
        search.step(closure)
        return error().detach()
