"""Brute force without secateur: the user's own module with columns of weights scaled, and the loss written out."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import torch
from cases import Case, scaled
from torch import Tensor, nn
from torch.nn import functional

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


def losses(case: Case, model: nn.Module, examples: int | None = None) -> Tensor:
    """The loss of each example, in float64, of the plain module."""
    dtype = next(model.parameters()).dtype
    output = case.answer(model, case.x(dtype, examples)).double()
    target = case.target(dtype, examples)
    if case.loss == "cross_entropy":
        return functional.cross_entropy(output, target, reduction="none")
    target = target.double()
    if case.loss == "bce":
        return functional.binary_cross_entropy_with_logits(output, target, reduction="none").sum(1)
    squares = (output - target).square()
    return {"sse": squares.sum(1) / 2, "mse": squares.mean(1)}[case.loss]


def means(case: Case, model: nn.Module) -> Mapping[str, Tensor]:
    """The mean of what each weight reads, for each of its columns, over examples and positions: by hooks."""
    found: dict[str, Tensor] = {}
    handles = []
    for path, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):

            def look(_: nn.Module, inputs: tuple[Tensor, ...], path: str = path, module: nn.Module = module) -> None:
                x = inputs[0].double()
                dim = x.dim() - 1 if isinstance(module, nn.Linear) else 1
                found[f"{path}.weight"] = x.movedim(dim, 0).flatten(1).mean(1)

            handles.append(module.register_forward_pre_hook(look))
    case.answer(model, case.x(next(model.parameters()).dtype))
    for handle in handles:
        handle.remove()
    return found


def folded(model: nn.Module, columns: Iterable[Mapping[str, Sequence[int]]], mean: Mapping[str, Tensor]) -> nn.Module:
    """A copy in which these columns are zero and the biases hold what their means would give: off="mean"."""
    columns = list(columns)
    twin = scaled(model, columns, 0.0)
    whole = dict(model.named_parameters())
    for of_unit in columns:
        for name, indices in of_unit.items():
            chosen = list(indices)
            layer = twin.get_submodule(name.rpartition(".")[0])
            gain = whole[name].detach().double()[:, chosen].flatten(2).sum(2) if whole[name].dim() > 2 else None
            gain = whole[name].detach().double()[:, chosen] if gain is None else gain
            gain = (gain @ mean[name][chosen]).to(whole[name].dtype)
            bias = torch.zeros_like(gain) if layer.bias is None else layer.bias.detach()
            layer.bias = nn.Parameter(bias + gain)
    return twin


def off(case: Case, model: nn.Module, units: Iterable[str], mean: Mapping[str, Tensor] | None = None) -> nn.Module:
    """A copy of the network without these units, by what the table says of their readers."""
    columns = [case.columns(unit) for unit in units]
    if mean is not None:
        return folded(model, columns, mean)
    return scaled(model, columns, 0.0) if columns else copy.deepcopy(model)


def agree(score: float, on: Tensor, without: Tensor, dtype: torch.dtype) -> bool:
    """docs/design.md, decision 2: |difference| <= r * sum(|loss on| + |loss off|)."""
    expected = float((without - on).sum())
    return abs(score - expected) <= TOLERANCE[dtype] * float((on.abs() + without.abs()).sum())
