"""Fully connected networks, as the paper used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from torch import nn

from secateur.errors import OptionError, UnknownNameError

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "softplus": nn.Softplus, "gelu": nn.GELU}
)
OUTPUTS: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    {"none": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softmax": partial(nn.Softmax, dim=1)}
)


def mlp(
    sizes: Sequence[int] = (400, 100, 10),
    activation: str = "sigmoid",
    output: str = "none",
    dropout: float = 0.0,
    readout: float | None = None,
) -> nn.Sequential:
    """A fully connected network with named layers: fc1, act1, fc2, act2, ... and, unless it is "none", output.

        h_0 = x,  h_k = activation(W_k h_(k-1) + b_k),  answer = output(W_n h_(n-1) + b_n)

    In training each h_k but the first goes through dropout with that probability. Weights begin as torch's do; those of
    W_n are normal with standard deviation `readout` where that is given.

    Shape:
        (N, sizes[0]) -> (N, sizes[-1]); images have to be flattened before.

    Raises:
        OptionError: fewer than two sizes, or one below 1; a dropout that is no probability; a readout below 0.
        UnknownNameError: no such activation or output.

    Source:
        The paper's nets are mlp((400, 100, 10), "sigmoid", "sigmoid") and the like.

    >>> mlp((2, 3, 1), "tanh", output="sigmoid")
    Sequential(
      (fc1): Linear(in_features=2, out_features=3, bias=True)
      (act1): Tanh()
      (fc2): Linear(in_features=3, out_features=1, bias=True)
      (output): Sigmoid()
    )
    """
    if activation not in ACTIVATIONS:
        raise UnknownNameError("activation", activation, ACTIVATIONS)
    if output not in OUTPUTS:
        raise UnknownNameError("output", output, OUTPUTS)
    if not 0 <= dropout < 1:
        raise OptionError(f"got dropout={dropout}; expected the probability that a unit is dropped, from 0 to below 1")
    if readout is not None and not readout >= 0:
        raise OptionError(
            f"got readout={readout}; expected a standard deviation, 0 or more, or None for torch's weights"
        )
    if len(sizes) < 2 or min(sizes) < 1:
        raise OptionError(
            f"got sizes {tuple(sizes)}; expected two or more, from the inputs to the outputs, none below 1"
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    last = len(sizes) - 1
    for number in range(1, last + 1):
        layers[f"fc{number}"] = nn.Linear(sizes[number - 1], sizes[number])
        if number < last:
            layers[f"act{number}"] = ACTIVATIONS[activation]()
            if dropout:
                layers[f"drop{number}"] = nn.Dropout(dropout)
    if readout is not None:
        nn.init.normal_(layers[f"fc{last}"].get_parameter("weight"), std=readout)
    if output != "none":
        layers["output"] = OUTPUTS[output]()
    return nn.Sequential(layers)
