"""The charged-Higgs ParticleNet as it is exported, flat layout: pure PyTorch operators, every size dynamic.

Without transforms its state-dict keys are those of the trained network. The k-NN graph has a fixed number of neighbour
slots a node with a mask, so that no size depends on the data: it traces, scripts and exports.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from modelferry.families.charged_higgs_particlenet.layers import EdgeLayers, ParticleNetLayers
from modelferry.families.transforms import NONE, STATIC_EDGES


def sum_by(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Return the sums of the rows of `values` that share an index, (size, F)."""
    return torch.zeros(size, values.size(1), dtype=values.dtype, device=values.device).index_add(0, index, values)


def mean_by(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Return the means of the rows of `values` that share an index, (size, F); 0 where there is no row."""
    ones = torch.ones(index.size(0), 1, dtype=values.dtype, device=values.device)
    return sum_by(values, index, size) / sum_by(ones, index, size).clamp(min=1.0)


def nearest(x: Tensor, k: int, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return the `k` nearest neighbours of each node within its event, self excluded.

    Parameters
    ----------
    x
        Coordinates, (ΣN, F).
    k
        Neighbour slots.
    batch
        Event of each node, (ΣN,).

    Returns
    -------
    index, valid
        Neighbours (ΣN, k) int64 in ascending distance, and which of the slots are filled, (ΣN, k) bool. An unfilled
        slot points to node 0.
    """
    difference = x.unsqueeze(1) - x.unsqueeze(0)
    distance = (difference * difference).sum(-1)
    number = torch.arange(x.size(0), device=x.device)
    excluded = (batch.unsqueeze(1) != batch.unsqueeze(0)) | (number.unsqueeze(1) == number.unsqueeze(0))
    distance = distance.masked_fill(excluded, float("inf"))
    padding = torch.full((x.size(0), k), float("inf"), dtype=x.dtype, device=x.device)
    value, index = torch.cat([distance, padding], dim=1).topk(k, dim=1, largest=False)
    valid = torch.isfinite(value)
    return index.masked_fill(~valid, 0), valid


class GraphNorm(nn.Module):
    """Graph normalisation of each event for itself (PyTorch Geometric's ``GraphNorm``)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.mean_scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor, batch: Tensor, events: int) -> Tensor:
        """Return normalised nodes, (ΣN, F)."""
        centred = x - mean_by(x, batch, events).index_select(0, batch) * self.mean_scale
        variance = mean_by(centred.square(), batch, events)
        return self.weight * centred / (variance + 1e-5).sqrt().index_select(0, batch) + self.bias


class EdgeConvolution(EdgeLayers):
    """Edge convolution with a residual shortcut: mean over incoming edges of MLP([x_i, x_j − x_i])."""

    def along_edges(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return (ΣN, outputs) for given edges (2, E), row 0 = source, row 1 = target."""
        source, target = edge_index[0], edge_index[1]
        centre, neighbour = self.ends(x)
        message = self.mlp(self.joined(centre.index_select(0, target), neighbour.index_select(0, source)))
        mean = mean_by(message, target, x.size(0))
        filled = mean_by(torch.ones_like(message[:, :1]), target, x.size(0)) if self.folded else mean
        return self.finished(mean, filled, x)

    def forward(self, x: Tensor, batch: Tensor) -> Tensor:
        """Return (ΣN, outputs) with each node's nearest neighbours in `x` as sources."""
        index, valid = nearest(x, self.neighbours, batch)
        centre, neighbour = self.ends(x)
        edges = self.joined(centre.unsqueeze(1), embedding(index, neighbour))
        message = self.mlp(edges.flatten(0, 1)).view(-1, self.neighbours, self.outputs)
        message = message.masked_fill(~valid.unsqueeze(2), 0.0)
        mean = message.sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
        return self.finished(mean, valid[:, :1].to(mean.dtype), x)


class FlatParticleNet(ParticleNetLayers):
    """The deployable in the flat layout; see `charged_higgs_reference.ParticleNet` for the arguments and shapes.

    With the approximation `static_edges` the input's edges serve all layers: not the trained function.
    """

    __constants__: ClassVar[list[str]] = ["static"]

    def __init__(self, hidden: int = 128, transforms: frozenset[str] = NONE) -> None:
        super().__init__(GraphNorm, EdgeConvolution, hidden, transforms)
        self.static = STATIC_EDGES in transforms

    def forward(self, x: Tensor, edge_index: Tensor, graph_input: Tensor, batch: Tensor) -> Tensor:
        """Return logits (B, 4)."""
        events = graph_input.size(0)
        x = self.gn0(x, batch, events)
        first = self.conv1.along_edges(x, edge_index)  # type: ignore[operator]
        if self.static:
            second = self.conv2.along_edges(first, edge_index)  # type: ignore[operator]
            third = self.conv3.along_edges(second, edge_index)  # type: ignore[operator]
        else:
            second = self.conv2(first, batch)
            third = self.conv3(second, batch)
        pooled = mean_by(torch.cat([first, second, third], dim=1), batch, events)
        return self.logits(pooled, graph_input)
