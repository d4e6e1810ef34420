"""The slopes that the table gives to functions of one element. What follows from them: oracle/test_racing.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from secateur.units.lipschitz import Steep
from secateur.units.rules import RULES


def test_slopes_of_activations_are_the_steepest() -> None:
    """Against differences on a fine grid, each nearly attained."""
    slopes = {name: rule.lipschitz.slope for name, rule in RULES.items() if isinstance(rule.lipschitz, Steep)}
    slopes = {name.removeprefix("aten.").removesuffix(".default"): slope for name, slope in slopes.items()}
    x = torch.linspace(-8, 8, 400_001, dtype=torch.float64)
    functions: dict[str, Any] = {
        **{
            name: getattr(nn.functional, name)
            for name in ("relu", "relu6", "softplus", "hardtanh", "selu", "gelu", "silu")
        },
        **{name: getattr(nn.functional, name) for name in ("mish", "hardsigmoid", "hardswish")},
        **{name: getattr(torch, name) for name in ("tanh", "sigmoid", "erf", "abs", "neg", "sin", "cos")},
        "log_sigmoid": nn.functional.logsigmoid,
    }
    for name, function in functions.items():
        y = function(x)
        steepest = float(((y[1:] - y[:-1]) / (x[1:] - x[:-1])).abs().max())
        assert 0.98 * slopes[name] <= steepest <= slopes[name] + 1e-6, name
    assert set(slopes) - set(functions) == {"dropout", "contiguous", "clone", "clamp", "clamp_min", "clamp_max"}
