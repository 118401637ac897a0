"""ResNets as they are trained: of CIFAR (`akamaster/pytorch_resnet_cifar10`) and of ImageNet (torchvision's layout).

Source: K. He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385; shortcuts without weights are
its option A.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

EXPANSION = 4
"""A bottleneck gives so many times the channels of its middle."""


class Shortcut(nn.Module):
    """Every second pixel, and channels of zeros on both sides."""

    def __init__(self, added: int) -> None:
        super().__init__()
        self.sides = (added // 2, added - added // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C + added, H / 2, W / 2)."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *self.sides))


class Block(nn.Module):
    """Two or three convolutions, each with batch norm, added to what went in."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool, shortcut: str) -> None:
        super().__init__()
        outputs = EXPANSION * width if bottleneck else width
        first = 1 if bottleneck else 3
        self.conv1 = nn.Conv2d(inputs, width, first, 1 if bottleneck else stride, first // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride if bottleneck else 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = (
                Shortcut(outputs - inputs)
                if shortcut == "pad"
                else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return what the block makes of (B, C, H, W)."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            out = self.bn3(self.conv3(F.relu(out)))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """Images (B, C, H, W), bytes or from 0 to 1, to logits (B, classes); normalised first, as its trainer did."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        stages: Sequence[Sequence[int]],
        bottleneck: bool,
        stem: int,
        shortcut: str,
        classes: int,
        channels: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.large = stem > 3
        inputs = stages[0][1]
        self.conv1 = nn.Conv2d(channels, inputs, stem, 2 if self.large else 1, stem // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.stages = len(stages)
        for number, (blocks, width) in enumerate(stages):
            layers = []
            for index in range(blocks):
                stride = 2 if number > 0 and index == 0 else 1
                layers.append(Block(inputs, width, stride, bottleneck, shortcut))
                inputs = EXPANSION * width if bottleneck else width
            setattr(self, f"layer{number + 1}", nn.Sequential(*layers))
        self.linear = nn.Linear(inputs, classes)
        self.register_buffer("mean", torch.tensor(mean or [0.0]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std or [1.0]).view(-1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        if image.dtype == torch.uint8:
            image = image.to(self.linear.weight.dtype) / 255
        x = F.relu(self.bn1(self.conv1((image - self.mean) / self.std)))
        if self.large:
            x = F.max_pool2d(x, 3, 2, 1)
        for number in range(self.stages):
            x = getattr(self, f"layer{number + 1}")(x)
        logits: Tensor = self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
