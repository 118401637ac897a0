"""The charged-Higgs ParticleNet as it was trained: PyTorch Geometric, dynamic graphs, edge dropout and all.

Source: `choij1589/ChargedHiggsAnalysisV3`, folder `ParticleNet/python`. What looks odd there (normalisation after the
activation, input edges that point from the centre to its neighbours) is part of the trained function and kept.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.nn import GraphNorm, MessagePassing, global_mean_pool
from torch_geometric.utils import dropout_edge, to_dense_batch

from modelferry.families.charged_higgs_particlenet.sizes import CLASSES, GRAPH_FEATURES, NEIGHBOURS, NODE_FEATURES


def knn_graph(x: Tensor, k: int, batch: Tensor) -> Tensor:
    """Return the edges to the `k` nearest neighbours of each node, within its event, without self-loops.

    Equal in its choice to ``torch_geometric.nn.knn_graph`` (row 0 = neighbour, row 1 = centre), which needs a compiled
    package that the indices do not carry. Distances are Euclidean, from differences: a matrix product would cancel.

    Parameters
    ----------
    x
        Coordinates, (ΣN, F).
    k
        Neighbours a node; an event of N nodes gives each min(k, N − 1).
    batch
        Event of each node, (ΣN,), sorted.

    Returns
    -------
    Tensor
        Edges, (2, E) int64.
    """
    dense, present = to_dense_batch(x, batch)
    events, slots = present.shape
    distance = (dense.unsqueeze(2) - dense.unsqueeze(1)).square().sum(-1)
    usable = present.unsqueeze(2) & present.unsqueeze(1) & ~torch.eye(slots, dtype=torch.bool)
    nearest = distance.masked_fill(~usable, torch.inf).topk(min(k, slots), largest=False).indices
    first = present.sum(1).cumsum(0) - present.sum(1)
    neighbour = nearest + first.view(events, 1, 1)
    centre = (torch.arange(slots) + first.unsqueeze(1)).unsqueeze(2).expand_as(neighbour)
    valid = usable.gather(2, nearest)
    return torch.stack([neighbour[valid], centre[valid]])


class EdgeConvolution(MessagePassing):
    """Edge convolution with a residual shortcut: mean over incoming edges of MLP([x_i, x_j − x_i])."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(aggr="mean")
        self.dropout = dropout
        layers: list[nn.Module] = []
        for width in (2 * inputs, outputs, outputs):
            layers += [nn.Linear(width, outputs), nn.LeakyReLU(), nn.BatchNorm1d(outputs), nn.Dropout(dropout)]
        self.mlp = nn.Sequential(*layers)
        self.shortcut = nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.Dropout(dropout))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Return (ΣN, outputs) for nodes (ΣN, inputs) and edges (2, E), row 0 = source, row 1 = target."""
        edge_index, _ = dropout_edge(edge_index, p=self.dropout, training=self.training)
        return self.propagate(edge_index, x=x) + self.shortcut(x)

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        """Return the messages of edges j → i, (E, outputs)."""
        return self.mlp(torch.cat([x_i, x_j - x_i], dim=1))


class ParticleNet(nn.Module):
    """The multi-class ParticleNet.

    Parameters
    ----------
    hidden
        Width of all layers; 128 in the deployed networks (272,807 parameters), 192 occurs.
    dropout
        Probability with which activations and edges are dropped in training.
    """

    def __init__(self, hidden: int = 128, dropout: float = 0.25) -> None:
        super().__init__()
        self.gn0 = GraphNorm(NODE_FEATURES)
        self.conv1 = EdgeConvolution(NODE_FEATURES, hidden, dropout)
        self.conv2 = EdgeConvolution(hidden, hidden, dropout)
        self.conv3 = EdgeConvolution(hidden, hidden, dropout)
        self.bn0 = nn.BatchNorm1d(3 * hidden + GRAPH_FEATURES)
        self.dense1 = nn.Linear(3 * hidden + GRAPH_FEATURES, hidden)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.dense2 = nn.Linear(hidden, hidden)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.output = nn.Linear(hidden, CLASSES)
        self.dropout = nn.Dropout(dropout)
        _remove_generated_source(self.conv1)

    def forward(self, x: Tensor, edge_index: Tensor, graph_input: Tensor, batch: Tensor) -> Tensor:
        """Return logits (B, 4) of particles (ΣN, 9), first-layer edges (2, E), eras (B, 4), event numbers (ΣN,)."""
        x = self.gn0(x, batch, graph_input.size(0))
        first = self.conv1(x, edge_index)
        second = self.conv2(first, knn_graph(first, NEIGHBOURS, batch))
        third = self.conv3(second, knn_graph(second, NEIGHBOURS, batch))
        pooled = global_mean_pool(torch.cat([first, second, third], dim=1), batch, graph_input.size(0))
        y = self.bn0(torch.cat([pooled, graph_input], dim=1))
        y = self.dropout(self.bn1(nn.functional.leaky_relu(self.dense1(y))))
        y = self.dropout(self.bn2(nn.functional.leaky_relu(self.dense2(y))))
        return self.output(y)


def _remove_generated_source(layer: MessagePassing) -> None:
    """Remove the source that PyTorch Geometric generates for a layer in the machine's temporary folder, and leaves."""
    source = getattr(sys.modules.get(type(layer).propagate.__module__), "__file__", None)
    if source is not None and Path(source).is_relative_to(tempfile.gettempdir()):
        Path(source).unlink(missing_ok=True)
