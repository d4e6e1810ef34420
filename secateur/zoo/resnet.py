"""A residual network small enough for a test."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a way around them: straight, or a 1x1 convolution if the shape changes.

    Shape:
        (N, inputs, H, W) -> (N, outputs, H / stride, W / stride).

    Source:
        K. He et al., Deep residual learning for image recognition, 2015, the basic block.

    >>> sorted(name for name, _ in ResidualBlock(4, 8, stride=2).named_children())
    ['act1', 'act2', 'bn1', 'bn2', 'conv1', 'conv2', 'downsample']
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                OrderedDict(conv=nn.Conv2d(inputs, outputs, 1, stride, bias=False), bn=nn.BatchNorm2d(outputs))
            )
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.act2(inner + self.downsample(x))


def resnet8() -> nn.Sequential:
    """ResNet-8: a stem, three residual blocks of 16, 32 and 64 channels, global average pooling and a linear layer.

    Shape:
        (N, 1, H, W) -> (N, 10) logits; made for 28x28.

    Source:
        K. He et al., 2015, the CIFAR nets of section 4.2 with n = 1 (6n + 2 = 8 layers) and 1x1 shortcuts.

    >>> sum(parameter.numel() for parameter in resnet8().parameters())
    77754
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(16),
            act1=nn.ReLU(),
            stage1=ResidualBlock(16, 16),
            stage2=ResidualBlock(16, 32, stride=2),
            stage3=ResidualBlock(32, 64, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(64, 10),
        )
    )
