"""Losses of single examples, in float64: what the error E(g) adds up.

A loss is a function `(output, target) -> (N,)`. Those with a name are in LOSSES; adding one is a function and a line
there, and, if it asks for targets of a kind of its own, a branch in `check_targets`.

What depends on the *values* of the targets is checked once per data set, by `check_targets`. The losses themselves look
at shapes and types only, so they can be differentiated twice and mapped with torch.func over stacked outputs. The first
dimension always counts examples, the second, where there is one, outputs or classes; nothing is ever broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor
from torch.nn import functional

from secateur.errors import DataError, NonFiniteError, UnknownNameError

Loss = Callable[[Tensor, Tensor], Tensor]


def sse(output: Float[Tensor, "examples *outputs"], target: Shaped[Tensor, "*targets"]) -> Float64[Tensor, "examples"]:
    """Half the sum of squared errors, the paper's loss.

    l_n = 1/2 sum_i (o_ni - t_ni)^2

    Shape:
        output (N, C, ...) or (N,); target the same, or (N, ...) class indices, which become one-hot.
        Result (N,) float64.

    Units:
        squared output units; lower is better.

    Raises:
        DataError: shapes or types that do not go together.

    Source:
        The paper (arXiv 1701.04465), E = 1/2 sum (o - t)^2.

    >>> sse(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
    tensor([2.5000], dtype=torch.float64)
    >>> sse(torch.tensor([[0.5, 0.0]]), torch.tensor([0]))
    tensor([0.1250], dtype=torch.float64)
    """
    return _per_example((_float64(output) - _dense("sse", output, target)).square()).sum(1) / 2


def mse(output: Float[Tensor, "examples *outputs"], target: Shaped[Tensor, "*targets"]) -> Float64[Tensor, "examples"]:
    """The mean over an example's outputs of the squared errors.

    l_n = 1/C sum_i (o_ni - t_ni)^2

    Shape:
        as for `sse`.

    Units:
        squared output units; lower is better.

    Raises:
        DataError: shapes or types that do not go together.

    Source:
        torch.nn.MSELoss, without the mean over examples.

    >>> mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]]))
    tensor([2.5000], dtype=torch.float64)
    """
    return _per_example((_float64(output) - _dense("mse", output, target)).square()).mean(1)


def self_distance(
    output: Float[Tensor, "examples *outputs"], target: Shaped[Tensor, "*targets"]
) -> Float64[Tensor, "examples"]:
    """Half the squared distance to the network's own unpruned output, which is the target: no labels needed.

    l_n = 1/2 sum_i (o_ni - o*_ni)^2

    Shape:
        output and target (N, ...), the same. Result (N,) float64.

    Units:
        squared output units; 0 for the unpruned network.

    Raises:
        DataError: another shape than the output's, or not floating point.

    Source:
        docs/design.md: the loss called "self".

    >>> self_distance(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 1.0]))
    tensor([2., 0.], dtype=torch.float64)
    """
    if not target.is_floating_point():
        raise DataError(f"the loss 'self' got targets of {target.dtype}; expected the network's own, unpruned output")
    return _per_example((_float64(output) - _dense("self", output, target)).square()).sum(1) / 2


def bce(output: Float[Tensor, "examples *outputs"], target: Shaped[Tensor, "*targets"]) -> Float64[Tensor, "examples"]:
    """Binary cross-entropy of logits, summed over outputs.

    l_n = - sum_i t_ni log s(o_ni) + (1 - t_ni) log s(-o_ni), with s the sigmoid

    Shape:
        as for `sse`; class indices become one-hot (one against the rest).

    Units:
        nats; lower is better.

    Raises:
        DataError: shapes or types that do not go together.

    Source:
        torch.nn.BCEWithLogitsLoss, summed; both logarithms apart, so that tiny losses keep their digits.

    >>> bce(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]])) / torch.tensor(2.0).double().log()
    tensor([2.], dtype=torch.float64)
    """
    logits, dense = _float64(output), _dense("bce", output, target)
    return -_per_example(dense * functional.logsigmoid(logits) + (1 - dense) * functional.logsigmoid(-logits)).sum(1)


def cross_entropy(
    output: Float[Tensor, "examples *outputs"], target: Shaped[Tensor, "*targets"]
) -> Float64[Tensor, "examples"]:
    """Cross-entropy of logits, summed over the positions of an example.

    l_n = - sum over positions p, sum_c t_ncp log softmax_c(o_n.p)

    Shape:
        output (N, C, ...), the classes in dimension 1, as in torch; target (N, ...) class indices or (N, C, ...)
        probabilities. Result (N,) float64.

    Units:
        nats; lower is better.

    Raises:
        DataError: shapes or types that do not go together.

    Source:
        torch.nn.CrossEntropyLoss, without the mean over examples.

    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2]))  # log 4
    tensor([1.3863], dtype=torch.float64)
    """
    _check_shapes("cross_entropy", output.shape, target)
    log_probability = functional.log_softmax(_float64(output), dim=1)
    if target.is_floating_point():
        return -_per_example(target.to(torch.float64) * log_probability).sum(1)
    return -_per_example(log_probability.gather(1, target.to(torch.int64).unsqueeze(1))).sum(1)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {"sse": sse, "cross_entropy": cross_entropy, "bce": bce, "mse": mse, "self": self_distance}
)


def resolve(loss: str | Loss) -> Loss:
    """The loss of that name; a function is handed back as it is.

    Raises:
        UnknownNameError: no loss of that name.

    Source:
        LOSSES.

    >>> resolve("sse") is sse
    True
    >>> resolve("crossentropy")
    Traceback (most recent call last):
    secateur.errors.UnknownNameError: no loss is called 'crossentropy'. Did you mean 'cross_entropy'? Known: bce, \
cross_entropy, mse, self, sse.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise UnknownNameError("loss", loss, LOSSES)
    return LOSSES[loss]


def check_targets(name: str, output_shape: Sequence[int], target: Tensor) -> None:
    """Refuse targets that the named loss cannot use: shape, type and values. To be called once for a data set.

    Shape:
        `output_shape` is that of all outputs, (N, C, ...); targets as the loss says.

    Units:
        class indices from 0 to C - 1; for "bce" values from 0 to 1; for "cross_entropy" rows of probabilities.

    Raises:
        UnknownNameError: no loss of that name.
        DataError: another shape, another type, indices out of range, no probabilities.
        NonFiniteError: NaN or infinity among the targets.

    Source:
        house rule: refuse silent nonsense.

    >>> check_targets("cross_entropy", (2, 3), torch.tensor([0, 3]))
    Traceback (most recent call last):
    secateur.errors.DataError: the loss 'cross_entropy' got class indices from 0 to 3; expected 0 to 2, for the 3 \
outputs of shape (2, 3)
    """
    resolve(name)
    _check_shapes(name, output_shape, target)
    if target.numel() == 0:
        raise DataError(f"the loss {name!r} got no targets, shape {tuple(target.shape)}; expected one example or more")
    if target.is_floating_point() and not bool(target.isfinite().all()):
        raise NonFiniteError(f"the loss {name!r} got targets with NaN or infinity; remove those examples")
    if _are_indices(output_shape, target):
        low, high, classes = int(target.min()), int(target.max()), output_shape[1]
        if low < 0 or high >= classes:
            raise DataError(
                f"the loss {name!r} got class indices from {low} to {high}; expected 0 to {classes - 1}, for the "
                f"{classes} outputs of shape {tuple(output_shape)}"
            )
    elif name == "bce" and not 0 <= float(target.min()) <= float(target.max()) <= 1:
        raise DataError(
            f"the loss 'bce' got targets from {float(target.min()):g} to {float(target.max()):g}; expected 0 to 1: "
            "what the sigmoid of each logit should be"
        )
    elif name == "cross_entropy":
        total = target.to(torch.float64).sum(1)
        if float(target.min()) < 0 or not torch.allclose(total, torch.ones_like(total), rtol=0, atol=1e-3):
            raise DataError(
                "the loss 'cross_entropy' got floating-point targets that are no probabilities: they must not be "
                f"negative (least: {float(target.min()):g}) and sum to 1 over dimension 1 (sums: "
                f"{float(total.min()):g} to {float(total.max()):g}); give class indices or normalise them"
            )


def prepare_target(name: str, output_shape: Sequence[int], target: Tensor) -> Tensor:
    """Check the targets, and convert them once to what the named loss computes with. Doing so twice changes nothing.

    Shape:
        (N, C, ...) float64; for "cross_entropy" class indices stay as they are, int64.

    Units:
        those of the targets; one-hot rows for class indices.

    Raises:
        as `check_targets`.

    >>> prepare_target("sse", (2, 2), torch.tensor([1, 0]))
    tensor([[0., 1.],
            [1., 0.]], dtype=torch.float64)
    """
    check_targets(name, output_shape, target)
    if not _are_indices(output_shape, target):
        return target.to(torch.float64)
    return target.to(torch.int64) if name == "cross_entropy" else _one_hot(target, output_shape[1])


def _float64(output: Tensor) -> Tensor:
    if not output.is_floating_point():
        raise DataError(f"got outputs of {output.dtype}; expected real, floating-point answers of the network")
    return output.to(torch.float64)


def _per_example(terms: Tensor) -> Tensor:
    return terms.reshape(terms.shape[0], -1)


def _are_indices(output_shape: Sequence[int], target: Tensor) -> bool:
    return not target.is_floating_point() and target.ndim == len(output_shape) - 1


def _dense(name: str, output: Tensor, target: Tensor) -> Tensor:
    _check_shapes(name, output.shape, target)
    return _one_hot(target, output.shape[1]) if _are_indices(output.shape, target) else target.to(torch.float64)


def _one_hot(indices: Tensor, classes: int) -> Tensor:
    # Not functional.one_hot, whose value checks cannot be mapped; an index that is no class poisons its row instead.
    wide = indices.unsqueeze(1)
    candidates = torch.arange(classes, device=indices.device).reshape(-1, *[1] * (wide.ndim - 2))
    return torch.where((wide >= 0) & (wide < classes), (wide == candidates).to(torch.float64), torch.nan)


def _check_shapes(name: str, output_shape: Sequence[int], target: Tensor) -> None:
    """Shapes and types only: fit for every call, mapped or not."""
    expected = tuple(output_shape)
    targets = f"targets of shape {tuple(target.shape)}, {target.dtype}"
    found = f"the loss {name!r} got {targets}, for outputs of shape {expected}"
    if not expected:
        raise DataError(f"{found}; expected a network that answers each example: outputs of shape (N, ...)")
    if target.is_complex():
        raise DataError(f"{found}; expected real numbers or class indices")
    without_classes = expected[:1] + expected[2:]
    if name == "self":
        if target.shape != expected or not target.is_floating_point():
            raise DataError(f"{found}; expected the network's own, unpruned output, of shape {expected}")
    elif name == "cross_entropy":
        if len(expected) < 2:
            raise DataError(f"{found}; expected a logit for each class, outputs of shape (N, C, ...): or use 'bce'")
        if expected[1] < 2:
            raise DataError(f"{found}; one logit is always the largest: use 'bce', with targets of shape {expected}")
        if target.is_floating_point() and target.shape != expected:
            raise DataError(
                f"{found}; expected class indices, integers of shape {without_classes} (convert with .long()), or "
                f"probabilities of shape {expected}"
            )
        if not target.is_floating_point() and (target.shape != without_classes or target.dtype == torch.bool):
            raise DataError(
                f"{found}; expected class indices, integers of shape {without_classes}, the classes being dimension 1 "
                f"of the output, or floating-point probabilities of shape {expected}"
            )
    elif _are_indices(expected, target) and target.shape == without_classes:
        if expected[1] < 2 or target.dtype == torch.bool:
            raise DataError(
                f"{found}; class indices need an output for each class: give values of the outputs' shape {expected} "
                "(for a single output: target.unsqueeze(1).float())"
            )
    elif target.shape != expected:
        indices = f", or class indices, integers of shape {without_classes}" if len(expected) > 1 else ""
        raise DataError(f"{found}; expected values of the same shape{indices}: nothing is broadcast")
