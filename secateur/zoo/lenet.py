"""The two LeNets of the pruning literature."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from secateur.zoo.mlp import mlp


def lenet_300_100() -> nn.Sequential:
    """LeNet-300-100: 784-300-100-10 with ReLU, 266,610 parameters.

    Shape:
        (N, 784) -> (N, 10) logits.

    Source:
        Y. LeCun et al., Gradient-based learning applied to document recognition, 1998; ReLU as in S. Han et al., 2015.

    >>> sum(parameter.numel() for parameter in lenet_300_100().parameters())
    266610
    """
    return mlp((784, 300, 100, 10), "relu")


def lenet5() -> nn.Sequential:
    """LeNet-5 in the pruning literature's 20-50-500 variant, 431,080 parameters.

    Caffe's has no ReLU behind its convolutions; this one does, as in later work.

    Shape:
        (N, 1, 28, 28) -> (N, 10) logits.

    Source:
        Y. LeCun et al., 1998; Caffe's lenet.prototxt; S. Han et al., Learning both weights and connections, 2015.

    >>> sum(parameter.numel() for parameter in lenet5().parameters())
    431080
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 20, 5),
            act1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            act2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(50 * 4 * 4, 500),
            act3=nn.ReLU(),
            fc2=nn.Linear(500, 10),
        )
    )
