"""A linear layer with its weight the other way round: (inputs, outputs), as a matrix product reads it.

A compiler then sees a product and a sum, and fuses the sum with the activation that follows, where the fused operator
``addmm`` first copies the bias to all rows. Values are the same; only their place in memory changes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Product(nn.Module):
    """A linear layer ``x @ weight + bias`` with `weight` (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, outputs) for (…, inputs)."""
        return x @ self.weight + self.bias


def transpose_linear(module: nn.Module) -> nn.Module:
    """Return `module` with all linear layers inside replaced by a `Product`, under the same names."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Product(child.in_features, child.out_features))
        else:
            transpose_linear(child)
    return module


def transpose_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with all matrices, which are those of linear layers, transposed."""
    return {name: tensor.t().contiguous() if tensor.dim() == 2 else tensor for name, tensor in state.items()}
