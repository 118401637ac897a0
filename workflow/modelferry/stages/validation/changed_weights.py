"""Weights changed on purpose: what controls fill artifacts and networks with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Weights = Mapping[str, "torch.Tensor"]

WEIGHT = "one weight changed by 10 %"
STEP = 0.1
"""Relative size of a change."""
CANDIDATES = 8
"""At most this many weights are tried, one at a time: one may belong to a unit that never fires."""


def with_changed_weight(weights: Weights, rank: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights with one entry of the last matrix 10 % larger: the largest, or the `rank`-th after it."""
    name = [name for name, tensor in weights.items() if tensor.dim() >= 2 and tensor.is_floating_point()][-1]
    return _changed(weights, name, rank)


def with_changed_bias(weights: Weights, rank: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights with one entry of the smallest bias changed: the largest, or the `rank`-th after it.

    A compiler that takes small constants for part of its code would not see it.
    """
    biases = {name: tensor for name, tensor in weights.items() if tensor.dim() == 1 and name.endswith("bias")}
    vectors = {name: tensor for name, tensor in weights.items() if tensor.dim() == 1 and tensor.is_floating_point()}
    candidates = biases or vectors or dict(weights)
    name = min(reversed(candidates), key=lambda name: candidates[name].numel())
    return _changed(weights, name, rank)


def retrained(weights: Weights) -> dict[str, torch.Tensor]:
    """Return the weights moved as far as another training might move them, each tensor for itself."""
    import torch

    generator = torch.Generator().manual_seed(7)
    moved = dict(weights)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and tensor.numel() > 0:
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            moved[name] = (tensor.double() * (1 + STEP * noise.clamp(-3, 3))).to(tensor.dtype)
    return moved


def differ(first: Weights, second: Weights) -> bool:
    """Return whether two models have the same tensors with other values."""
    import torch

    shapes = [{name: tensor.shape for name, tensor in weights.items()} for weights in (first, second)]
    return shapes[0] == shapes[1] and any(not torch.equal(first[name], second[name]) for name in first)


def _changed(weights: Weights, name: str, rank: int) -> dict[str, torch.Tensor]:
    changed = weights[name].clone()
    flat = changed.view(-1)
    index = flat.abs().argsort(descending=True)[rank % len(flat)]
    flat[index] = flat[index] * (1 + STEP) if flat[index] != 0 else STEP
    return {**weights, name: changed}
