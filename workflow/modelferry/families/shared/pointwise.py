"""Convolutions of size 1 as products of rows, and the layers that they become when batch norm is folded into them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class Pointwise(nn.Module):
    """A convolution of size 1 on rows (N, inputs); `axes` are those of its weight beside the channels."""

    def __init__(self, inputs: int, outputs: int, axes: int, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *[1] * axes) / inputs**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs)."""
        return linear(x, self.weight.flatten(1), self.bias)


def pointwise(inputs: int, outputs: int, axes: int, folded: bool, bias: bool = False) -> nn.Module:
    """Return the convolution, or the linear layer with bias that it becomes with a batch norm folded in."""
    return nn.Linear(inputs, outputs) if folded else Pointwise(inputs, outputs, axes, bias)


def batch_norm(features: int, folded: bool) -> nn.Module:
    """Return the batch norm of rows, or nothing if it is folded into a layer."""
    return nn.Identity() if folded else nn.BatchNorm1d(features)
