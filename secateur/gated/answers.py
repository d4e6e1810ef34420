"""What a network answers: which tensor counts, how exactly it is computed, and when two answers agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from secateur.errors import DataError, ModeError, OptionError
from secateur.units import Graph
from secateur.units.graph import operator_name

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-6}
"""Two evaluations of a score agree when they differ by at most this times the sum of |loss on| + |loss off|."""
OUTPUT_TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
"""Two networks agree when their outputs differ by at most this times the largest; below float32 1e-2."""


def answer(output: Any) -> Tensor:
    """The tensor that losses and metrics look at: the output itself, its logits, or its first element."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict) and "logits" in output:
        return answer(output["logits"])
    if (logits := getattr(output, "logits", None)) is not None:
        return answer(logits)
    if isinstance(output, (tuple, list)) and output:
        return answer(output[0])
    raise DataError(
        f"the network answers with a {type(output).__name__}; expected a tensor, a tuple, or something with logits"
    )


@contextmanager
def exactly() -> Iterator[None]:
    """Matrix products in the network's own precision, never TensorFloat-32 or bfloat16; then the user's setting."""
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions


def close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    return first.shape == second.shape and bool(
        (first - second).abs().max() <= tolerance * first.abs().max().clamp_min(torch.finfo(first.dtype).tiny)
    )


def require_evaluation_mode(model: nn.Module) -> None:
    """Raises: ModeError for a network of which any part is in training mode; OptionError for what is no network."""
    if not isinstance(model, nn.Module):
        raise OptionError(f"the network is a {type(model).__name__}; expected a torch.nn.Module")
    training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
    if training:
        some = ", ".join(training[:3]) + (", ..." if len(training) > 3 else "")
        raise ModeError(
            f"the network is in training mode ({some}): dropout and batch statistics would make scores random. "
            "Call model.eval() first."
        )


def require_no_dropout(graph: Graph) -> None:
    for node in graph.nodes:
        name = operator_name(node)
        if name == "aten.native_dropout.default" or (name == "aten.dropout.default" and node.args[2]):
            raise ModeError(
                "the network uses dropout in evaluation mode (functional.dropout without "
                "training=self.training?), so it "
                "answers at random; pass training=self.training, or nn.Dropout and model.eval()"
            )
