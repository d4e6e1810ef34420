"""Metrics of a whole set: what people read, and what stops watch.

A metric is a function `(outputs, targets) -> float` of all outputs and all targets at once. Those with a name are in
METRICS; adding one is a function and a line there (and one in LOWER_IS_BETTER, if so it is).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from secateur.errors import DataError, NonFiniteError, UnknownNameError
from secateur.losses import prepare_target, sse
from secateur.paired import COUNTS, Pairs

Metric = Callable[[Tensor, Tensor], float]


def accuracy(outputs: Float[Tensor, "examples *outputs"], targets: Shaped[Tensor, "*targets"]) -> float:
    """The fraction of right answers, where the answer is the class with the largest output (the first, of equals).

    A single output, or several that are not alternatives, has no largest: see `accuracy_logits` and
    `accuracy_probabilities`, which put a threshold on each.

    Shape:
        outputs (N, C, ...), the classes in dimension 1, C > 1; targets (N, ...) class indices, or (N, C, ...)
        probabilities, whose largest counts. Every position counts by itself.

    Units:
        from 0 to 1; higher is better.

    Raises:
        DataError: shapes or types that do not go together, indices out of range, no examples.
        NonFiniteError: NaN or infinity among the outputs.

    >>> import torch
    >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    return float(_right_class(outputs, targets).double().mean())


def accuracy_logits(outputs: Float[Tensor, "examples *outputs"], targets: Shaped[Tensor, "*targets"]) -> float:
    """The fraction of right yes-or-no answers, where a positive output (a logit) is a yes.

    Shape:
        outputs (N,), (N, 1), (N, C) ...; targets of the same shape, 0 or 1; or (N, ...) class indices, which become
        one-hot. Every output counts by itself.

    Units:
        from 0 to 1; higher is better. With many outputs and few yeses, "never" scores high.

    Raises:
        DataError: shapes or types that do not go together, targets other than 0 and 1, no examples.
        NonFiniteError: NaN or infinity among the outputs.

    >>> import torch
    >>> accuracy_logits(torch.tensor([[-3.0], [0.2]]), torch.tensor([[0.0], [0.0]]))
    0.5
    """
    return float(_right_logits(outputs, targets).double().mean())


def accuracy_probabilities(outputs: Float[Tensor, "examples *outputs"], targets: Shaped[Tensor, "*targets"]) -> float:
    """The fraction of right yes-or-no answers, where an output (a probability) above 1/2 is a yes.

    Shape:
        as for `accuracy_logits`.

    Units:
        from 0 to 1; higher is better. With many outputs and few yeses, "never" scores high.

    Raises:
        DataError: as `accuracy_logits`, and outputs outside [0, 1].
        NonFiniteError: NaN or infinity among the outputs.

    >>> import torch
    >>> accuracy_probabilities(torch.tensor([[0.3], [0.6]]), torch.tensor([[0.0], [0.0]]))
    0.5
    """
    return float(_right_probabilities(outputs, targets).double().mean())


def error(outputs: Float[Tensor, "examples *outputs"], targets: Shaped[Tensor, "*targets"]) -> float:
    """Half the sum of squared errors of an example, on average.

    1/N sum_n 1/2 sum_i (o_ni - t_ni)^2

    Shape:
        outputs (N, C, ...) or (N,); targets the same, or (N, ...) class indices, which become one-hot.

    Units:
        squared output units; lower is better.

    Raises:
        DataError: shapes or types that do not go together, no examples.
        NonFiniteError: NaN or infinity among outputs or targets.

    Source:
        The paper (arXiv 1701.04465), E divided by the number of examples.

    >>> import torch
    >>> error(torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [0.0]]))
    0.25
    """
    _check_outputs("error", outputs)
    return float(sse(outputs, prepare_target("sse", outputs.shape, targets)).mean())


def explained(outputs: Float[Tensor, "examples *outputs"], targets: Shaped[Tensor, "*targets"]) -> float:
    """How much of the error of the best constant answer is gone: the coefficient of determination.

    1 - E / E_constant, where the constant is the mean target of each output and E is `error`

    Shape:
        as for `error`.

    Units:
        at most 1, which is perfect; 0 for the best constant, negative for worse; higher is better.

    Raises:
        DataError: as `error`, and targets that do not vary.
        NonFiniteError: NaN or infinity among outputs or targets.

    Source:
        Our reading of the "accuracy" that the paper gives for its cosine nets, 0.9999993.

    >>> import torch
    >>> explained(torch.tensor([[1.0], [3.0]]), torch.tensor([[1.0], [5.0]]))
    0.5
    """
    _check_outputs("explained", outputs)
    dense = prepare_target("sse", outputs.shape, targets)
    centred = dense - dense.mean(0, keepdim=True)
    if bool((dense == dense[:1]).all()):
        raise DataError(
            f"the metric 'explained' got {len(dense)} targets that are all the same; expected targets that vary: "
            "a constant answer is already perfect. Use 'error'"
        )
    return 1 - float(sse(outputs, dense).sum() / sse(centred, centred.new_zeros(centred.shape)).sum())


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "accuracy": accuracy,
        "accuracy_logits": accuracy_logits,
        "accuracy_probabilities": accuracy_probabilities,
        "error": error,
        "explained": explained,
    }
)
LOWER_IS_BETTER = frozenset({"error"})


def resolve(metric: str | Metric) -> Metric:
    """The metric of that name; a function is handed back as it is.

    Raises:
        UnknownNameError: no metric of that name.

    Source:
        METRICS.

    >>> resolve("accuracy") is accuracy
    True
    """
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)
    return METRICS[metric]


def higher_is_better(metric: str | Metric) -> bool:
    """Whether a larger value of the metric is a better one; a function that is no named metric is taken for such.

    Raises:
        UnknownNameError: no metric of that name.

    Source:
        LOWER_IS_BETTER.

    >>> higher_is_better("accuracy"), higher_is_better("error")
    (True, False)
    """
    function = resolve(metric)
    return all(function is not METRICS[name] for name in LOWER_IS_BETTER)


def right_answers(
    metric: str, outputs: Float[Tensor, "examples *outputs"], targets: Shaped[Tensor, "*targets"]
) -> Bool[Tensor, " examples"]:
    """Which examples are answered right: what the metric of that name takes the mean of.

    Shape:
        outputs and targets as for the metric, with one answer for each example -> (N,).

    Raises:
        UnknownNameError: no metric that is a share of right answers has that name.
        DataError: as the metric, and several answers for each example.

    >>> import torch
    >>> right_answers("accuracy", torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    tensor([ True, False])
    """
    if metric not in SHARES:
        raise UnknownNameError("share of right answers", metric, SHARES)
    right = SHARES[metric](outputs, targets)
    if right.numel() != len(right):
        raise DataError(
            f"the metric {metric!r} counts {right.numel() // len(right)} answers for each example; expected one: "
            "answers of one example are not independent, so nothing can be certified by counting them"
        )
    return right.flatten()


def compare_answers(before: Bool[Tensor, " examples"], after: Bool[Tensor, " examples"]) -> Pairs:
    """How many answers were lost and gained between two networks, from which examples each of them answers right.

    Units:
        examples.

    >>> import torch
    >>> compare_answers(torch.tensor([True, True, False]), torch.tensor([True, False, False]))
    Pairs(lost=1, gained=0, same=2)
    """
    lost, gained = int((before & ~after).sum()), int((~before & after).sum())
    return Pairs(lost, gained, len(before) - lost - gained)


def is_count(name: str) -> bool:
    """Whether this is the name of a count of answers that `count_metric` makes.

    >>> is_count("accuracy_lost"), is_count("accuracy")
    (True, False)
    """
    metric, _, count = name.rpartition("_")
    return count in COUNTS and metric in METRICS


def count_metric(name: str, untouched: Float[Tensor, "examples *outputs"]) -> Metric:
    """The metric that counts lost, gained or unchanged answers against those of the untouched network.

    Units:
        examples; none has a sign that is good by itself.

    >>> import torch
    >>> lost = count_metric("accuracy_lost", torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    >>> lost(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    1.0
    """
    metric, _, count = name.rpartition("_")

    def counted(outputs: Tensor, targets: Tensor) -> float:
        before, after = (right_answers(metric, answers, targets) for answers in (untouched, outputs))
        return float(getattr(compare_answers(before, after), count))

    return counted


def _check_outputs(name: str, outputs: Tensor) -> None:
    if not outputs.is_floating_point() or outputs.ndim == 0 or outputs.numel() == 0:
        raise DataError(
            f"the metric {name!r} got outputs of shape {tuple(outputs.shape)}, {outputs.dtype}; expected the "
            "floating-point answers to at least one example"
        )
    if not bool(outputs.isfinite().all()):
        raise NonFiniteError(f"the metric {name!r} got outputs with NaN or infinity; look for overflow in the network")


def _right_class(outputs: Tensor, targets: Tensor) -> Tensor:
    _check_outputs("accuracy", outputs)
    if outputs.ndim < 2 or outputs.shape[1] < 2:
        raise DataError(
            f"the metric 'accuracy' got outputs of shape {tuple(outputs.shape)}; expected one for each class, "
            "(N, C, ...) with C > 1. For single outputs use 'accuracy_logits' (threshold 0) or "
            "'accuracy_probabilities' (0.5)"
        )
    try:
        classes = prepare_target("cross_entropy", outputs.shape, targets)
    except DataError as error:
        raise DataError(
            f"the metric 'accuracy' cannot use these targets: {error}. For outputs that are no alternatives use "
            "'accuracy_logits' or 'accuracy_probabilities'"
        ) from error
    if classes.is_floating_point():
        classes = classes.argmax(1)
    return outputs.argmax(1) == classes


def _right_logits(outputs: Tensor, targets: Tensor) -> Tensor:
    return _right_sides("accuracy_logits", outputs, targets, 0)


def _right_probabilities(outputs: Tensor, targets: Tensor) -> Tensor:
    _check_outputs("accuracy_probabilities", outputs)
    low, high = float(outputs.min()), float(outputs.max())
    if low < 0 or high > 1:
        raise DataError(
            f"the metric 'accuracy_probabilities' got outputs from {low:g} to {high:g}; expected 0 to 1. "
            "For logits use 'accuracy_logits'"
        )
    return _right_sides("accuracy_probabilities", outputs, targets, 0.5)


def _right_sides(name: str, outputs: Tensor, targets: Tensor, threshold: float) -> Tensor:
    _check_outputs(name, outputs)
    wanted = prepare_target("bce", outputs.shape, targets)
    if not bool(((wanted == 0) | (wanted == 1)).all()):
        raise DataError(f"the metric {name!r} got targets other than 0 and 1; expected no or yes: round them first")
    return (outputs > threshold) == (wanted == 1)


# Metrics that are the share of right answers; only with these can two networks be compared answer by answer.
SHARES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "accuracy": _right_class,
        "accuracy_logits": _right_logits,
        "accuracy_probabilities": _right_probabilities,
    }
)
