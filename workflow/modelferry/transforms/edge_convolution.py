"""The first linear layer of an edge convolution, taken from the edges to the nodes.

An edge convolution (EdgeConv, https://arxiv.org/abs/1801.07829) starts with a linear layer on [x_i, x_j − x_i]. With
its weight W = [W_a, W_b],

    W [x_i, x_j − x_i] + b = ((W_a − W_b) x_i + b) + W_b x_j,

two products a node instead of one an edge. A linear shortcut of x_i is a third product of the same nodes. All three
are rows of one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def split_edge_linear(state: Mapping[str, Tensor], linear: str, shortcut: str, node: str) -> dict[str, Tensor]:
    """Return `state` with an edge's linear layer and the shortcut's replaced by one of the nodes, called `node`.

    Its weight is (2 · outputs + shortcut's outputs, inputs): the rows for x_i, for x_j, and the shortcut's.
    """
    weight, bias = state[f"{linear}.weight"], state[f"{linear}.bias"]
    own, difference = weight.chunk(2, dim=1)
    rows = torch.cat([own - difference, difference, state[f"{shortcut}.weight"]])
    biases = torch.cat([bias, torch.zeros_like(bias), state[f"{shortcut}.bias"]])
    gone = {f"{layer}.{entry}" for layer in (linear, shortcut) for entry in ("weight", "bias")}
    rest = {name: tensor for name, tensor in state.items() if name not in gone}
    return {**rest, f"{node}.weight": rows, f"{node}.bias": biases}
