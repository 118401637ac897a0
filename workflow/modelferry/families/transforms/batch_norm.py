"""Batch norm in evaluation mode is an affine map a feature, y = scale · x + shift: it folds into a neighbouring layer.

Three places, each a function on a state dict that takes the norm's entries out and rewrites its neighbour's:

* after a linear layer or a convolution: into that layer, exact at a convolution's borders too;
* before a linear layer (say, after an activation): into that next layer;
* last in a function that is averaged: past the mean, where it acts on fewer rows. A mean over nothing is 0 and stays 0,
  so its shift may only be added where there was something to average.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

StateDict = dict[str, Tensor]
EPSILON = 1e-5
ENTRIES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


class MeanAffine(nn.Module):
    """Batch norm moved past a mean: ``weight · mean + bias``, but 0 where nothing was averaged."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, mean: Tensor, filled: Tensor) -> Tensor:
        """Return (N, F) for means (N, F) and whether anything was averaged, (N, 1) of zeros and ones."""
        return self.weight * mean + filled * self.bias


def scale_and_shift(state: Mapping[str, Tensor], norm: str, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """Return scale and shift (F,) of the batch norm whose entries start with `norm`."""
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + epsilon).sqrt()
    return scale, state[f"{norm}.bias"] - scale * state[f"{norm}.running_mean"]


def fold_into_previous(state: Mapping[str, Tensor], layer: str, norm: str, epsilon: float = EPSILON) -> StateDict:
    """Return `state` with the batch norm that follows a linear layer or a convolution folded into it.

    The layer has a bias afterwards, also if it had none.
    """
    scale, shift = scale_and_shift(state, norm, epsilon)
    weight, bias = state[f"{layer}.weight"], state.get(f"{layer}.bias", torch.zeros_like(shift))
    weight = scale.view(-1, *[1] * (weight.dim() - 1)) * weight
    return _replaced(state, norm, {f"{layer}.weight": weight, f"{layer}.bias": scale * bias + shift})


def fold_into_next(state: Mapping[str, Tensor], norm: str, linear: str) -> StateDict:
    """Return `state` with the batch norm that a linear layer follows folded into that layer."""
    scale, shift = scale_and_shift(state, norm)
    weight = state[f"{linear}.weight"]
    bias = state[f"{linear}.bias"] + weight @ shift
    return _replaced(state, norm, {f"{linear}.weight": weight * scale, f"{linear}.bias": bias})


def move_past_mean(state: Mapping[str, Tensor], norm: str, affine: str) -> StateDict:
    """Return `state` with a batch norm whose outputs are averaged turned into a `MeanAffine` called `affine`."""
    scale, shift = scale_and_shift(state, norm)
    return _replaced(state, norm, {f"{affine}.weight": scale, f"{affine}.bias": shift})


def _replaced(state: Mapping[str, Tensor], norm: str, new: StateDict) -> StateDict:
    gone = {f"{norm}.{entry}" for entry in ENTRIES}
    return {**{name: tensor for name, tensor in state.items() if name not in gone}, **new}
