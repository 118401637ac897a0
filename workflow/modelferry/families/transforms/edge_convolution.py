"""The first linear layer of an edge convolution, taken from the edges to the nodes.

An edge convolution (EdgeConv, https://arxiv.org/abs/1801.07829) starts with a linear layer on [x_i, x_j − x_i]. With
its weight W = [W_a, W_b],

    W [x_i, x_j − x_i] + b = ((W_a − W_b) x_i + b) + W_b x_j,

two products a node instead of one an edge. Both are rows of one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def split_edge_linear(state: Mapping[str, Tensor], linear: str, node: str) -> dict[str, Tensor]:
    """Return `state` with an edge's linear layer replaced by one of the nodes, called `node`.

    Its weight is (2 · outputs, inputs): the rows for x_i, which have the bias, then those for x_j.
    """
    weight, bias = state[f"{linear}.weight"], state[f"{linear}.bias"]
    own, difference = weight.chunk(2, dim=1)
    rest = {name: tensor for name, tensor in state.items() if name not in (f"{linear}.weight", f"{linear}.bias")}
    rows, biases = torch.cat([own - difference, difference]), torch.cat([bias, torch.zeros_like(bias)])
    return {**rest, f"{node}.weight": rows, f"{node}.bias": biases}
