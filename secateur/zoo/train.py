"""Training, plain and repeatable: one function, one record."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from secateur.data import Split
from secateur.errors import NonFiniteError, OptionError, UnknownNameError
from secateur.losses import Loss, prepare_target
from secateur.losses import resolve as resolve_loss
from secateur.metrics import higher_is_better
from secateur.metrics import resolve as resolve_metric
from secateur.threads import threads as using

OPTIMIZERS = ("adam", "sgd", "lbfgs")
CHUNK = 2_000  # examples in one forward when measuring
# torch's L-BFGS learns no curvature where step times change of gradient is below 1e-10, a constant of its own: near a
# good fit no step would count, and it stood still. The loss is scaled out of its reach.
LBFGS_SCALE = 1e9


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """How a training went: one entry an epoch, each measured on all training examples when the epoch was over.

    Shape:
        `losses` and `values`: (epochs,).

    Units:
        `losses` are means over examples; `values` those of `metric`; `reached` says whether its target was met.

    Source:
        made by `train`.

    >>> TrainingRecord("accuracy", losses=(0.5, 0.2), values=(0.8, 0.9), reached=True).epochs
    2
    """

    metric: str
    losses: tuple[float, ...]
    values: tuple[float, ...]
    reached: bool

    @property
    def epochs(self) -> int:
        return len(self.losses)


def train(
    model: nn.Module,
    split: Split,
    *,
    loss: str = "cross_entropy",
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    anneal: float = 0.0,
    optimizer: str = "adam",
    metric: str = "accuracy",
    target: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool = True,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
    then: Mapping[str, Any] | None = None,
) -> TrainingRecord:
    """Train a network in place, until `metric` on the training examples meets `target` or the epochs are over.

    "adam" and "sgd" (momentum 0.9) shuffle minibatches by `seed`, which also seeds dropout; "lbfgs" takes all examples
    at once, 20 iterations an epoch, in float64. Over the last part `anneal` of the epochs the learning rate falls to 0.
    The same seed gives the same weights on the same machine with the same number of threads, which `threads` sets for
    the time of the training. The network comes back in evaluation mode; `after_epoch(epoch, model)` sees it so after
    every epoch, for checkpoints. `then` holds the options of a second training, which follows the first. Progress is
    shown on a terminal only.

    Shape:
        as the network and the loss want it.

    Units:
        `target` in those of `metric`; from above for one that is better when lower.

    Raises:
        OptionError, UnknownNameError: options that make no sense.
        DataError: targets that the loss cannot use.
        NonFiniteError: the training diverged.

    Source:
        D. Kingma, J. Ba, Adam, 2014; J. Nocedal, S. Wright, Numerical Optimization, chapter 7 (L-BFGS).

    >>> line = Split(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [3.0]]))
    >>> record = train(nn.Linear(1, 1), line, loss="sse", optimizer="lbfgs", metric="error", target=1e-6)
    >>> record.reached
    True
    """
    _check_options(epochs, batch_size, learning_rate, anneal, optimizer, threads)
    loss_function, measure, upward = resolve_loss(loss), resolve_metric(metric), higher_is_better(metric)
    losses: list[float] = []
    values: list[float] = []
    reached = False
    full_batch = optimizer == "lbfgs"
    # In float32 its line search stalls early: at 3e-6 of unexplained variance for the cosine, where float64 goes on.
    precision = _float64(model) if full_batch else contextlib.nullcontext()
    x = split.x.double() if full_batch else split.x
    size = len(split) if full_batch else batch_size
    scale = LBFGS_SCALE if full_batch else 1.0
    with using(threads), torch.random.fork_rng(devices=[]), precision, _bar(epochs, progress) as advance:
        torch.manual_seed(seed)
        targets = prepare_target(loss, (len(split), *_outputs(model, x[:1]).shape[1:]), split.y)
        stepper = _optimizer(optimizer, model, learning_rate, weight_decay)
        order = torch.Generator().manual_seed(seed)
        for epoch in range(1, epochs + 1):
            model.train()
            for group in stepper.param_groups:
                group["lr"] = learning_rate * _annealed(epoch, epochs, anneal)
            for batch in torch.randperm(len(x), generator=order).split(size):
                _step(stepper, model, loss_function, x[batch], targets[batch], scale)
            outputs = _outputs(model, x)
            losses.append(float(loss_function(outputs, targets).mean()))
            if not math.isfinite(losses[-1]):
                raise NonFiniteError(
                    f"the loss is {losses[-1]} after epoch {epoch}: the training diverged. Lower learning_rate="
                    f"{learning_rate:g}, or scale the inputs (they reach {float(x.abs().max()):g})"
                )
            values.append(measure(outputs, split.y))
            if after_epoch is not None:
                after_epoch(epoch, model)
            advance(f"{metric} {values[-1]:.7g}")
            reached = target is not None and (values[-1] >= target if upward else values[-1] <= target)
            if reached:
                break
    if then is None:
        return TrainingRecord(metric, tuple(losses), tuple(values), reached)
    after = None if after_epoch is None else lambda epoch, model: after_epoch(epoch + len(losses), model)
    second = train(model, split, seed=seed, progress=progress, after_epoch=after, **then)
    return TrainingRecord(second.metric, (*losses, *second.losses), (*values, *second.values), second.reached)


def _check_options(
    epochs: int, batch_size: int, learning_rate: float, anneal: float, optimizer: str, threads: int | None
) -> None:
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("threads", threads)):
        if value is not None and value < 1:
            raise OptionError(f"got {name}={value}; expected at least 1")
    if not 0 <= anneal <= 1:
        raise OptionError(f"got anneal={anneal}; expected the part of the epochs, from 0 to 1, at a falling rate")
    if not learning_rate > 0:
        raise OptionError(f"got learning_rate={learning_rate}; expected a positive number")


def _annealed(epoch: int, epochs: int, anneal: float) -> float:
    """The factor of the learning rate in this epoch, the first being 1; never quite 0."""
    return min(1.0, (epochs - epoch + 1) / (epochs * anneal + 1))


def _optimizer(name: str, model: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
    parameters = list(model.parameters())
    if name == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9, weight_decay=weight_decay)
    if weight_decay:
        raise OptionError(f"got weight_decay={weight_decay:g} with the optimizer 'lbfgs', which has none; use 'adam'")
    return torch.optim.LBFGS(
        parameters,
        lr=learning_rate,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )


def _step(stepper: Optimizer, model: nn.Module, loss: Loss, x: Tensor, wanted: Tensor, scale: float) -> None:
    def closure() -> float:
        stepper.zero_grad()
        value = loss(model(x), wanted).mean() * scale
        value.backward()
        return float(value.detach())

    stepper.step(closure)


def _outputs(model: nn.Module, x: Tensor) -> Tensor:
    """What the network answers in evaluation mode, in which it stays."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(chunk) for chunk in x.split(CHUNK)])


@contextlib.contextmanager
def _float64(model: nn.Module) -> Iterator[None]:
    dtypes = {parameter.dtype for parameter in model.parameters()}
    if len(dtypes) != 1:
        raise OptionError(f"got a network of {sorted(map(str, dtypes))}; the optimizer 'lbfgs' expects a single type")
    try:
        model.double()
        yield
    finally:
        model.to(dtype=dtypes.pop())


@contextlib.contextmanager
def _bar(total: int, wanted: bool) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error, if that is a terminal."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=total)
        yield lambda text: shown.update(task, advance=1, description=text)
