"""A user's LightningModule for a real checkpoint: a graph-attention network on graphs of 12 nodes, written densely.

Its properties raise outside training, as people's own do.
"""

from __future__ import annotations

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

NODES = 12


class Attention(nn.Module):
    """PyTorch Geometric's `GATConv` with edge features of width 1 and self-loops of a fixed one, on whole matrices."""

    def __init__(self, inputs: int, width: int, heads: int, concat: bool, fill_value: float) -> None:
        super().__init__()
        self.heads, self.width, self.concat, self.fill_value = heads, width, concat, fill_value
        self.lin = nn.Linear(inputs, heads * width, bias=False)
        self.lin_edge = nn.Linear(1, heads * width, bias=False)
        self.att_src = nn.Parameter(torch.randn(1, heads, width))
        self.att_dst = nn.Parameter(torch.randn(1, heads, width))
        self.att_edge = nn.Parameter(torch.randn(1, heads, width))
        self.bias = nn.Parameter(torch.zeros(heads * width if concat else width))

    def forward(self, x: Tensor, edges: Tensor, neighbours: Tensor) -> Tensor:
        """Return (B, N, width) for nodes (B, N, F) and, from node j to node i, edges and neighbours (B, N i, N j)."""
        own = torch.eye(x.size(1), dtype=torch.bool)
        edges = edges.masked_fill(own, self.fill_value)
        h = self.lin(x).view(x.size(0), x.size(1), self.heads, self.width)
        slope = (self.lin_edge.weight.view(1, self.heads, self.width) * self.att_edge).sum(2)
        weight = (h * self.att_dst).sum(3).unsqueeze(2) + (h * self.att_src).sum(3).unsqueeze(1)
        weight = nn.functional.leaky_relu(weight + edges.unsqueeze(3) * slope, 0.2)
        share = weight.masked_fill(~(neighbours | own).unsqueeze(3), float("-inf")).softmax(2)
        out = torch.einsum("bijh,bjhw->bihw", share, h)
        return (out.flatten(2) if self.concat else out.mean(2)) + self.bias


class Stack(nn.Module):
    """Attention layers with ReLU between them; all but the last put their heads side by side."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int, heads: int, fill_value: float) -> None:
        super().__init__()
        inner = [Attention(inputs, hidden // heads, heads, True, fill_value)] if layers > 1 else []
        self.convs = nn.ModuleList(
            [*inner, Attention(hidden if layers > 1 else inputs, outputs, heads, False, fill_value)]
        )

    def forward(self, x: Tensor, edges: Tensor, neighbours: Tensor) -> Tensor:
        for place, conv in enumerate(self.convs):
            x = conv(torch.relu(x) if place else x, edges, neighbours)
        return x


class MineralTagger(LightningModule):
    """Features of the nodes, and a class for each."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        heads: int = 1,
        fill_value: float = 1.0,
        lr: float = 0.1,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.features = Stack(in_channels, hidden_channels, hidden_channels, num_layers - 1, heads, fill_value)
        self.classification = Stack(hidden_channels, hidden_channels, out_channels, 1, heads, fill_value)

    @property
    def run_name(self) -> str:
        """Of the logger: there is none outside training."""
        raise RuntimeError("no logger is attached")

    def forward(self, x: Tensor, edges: Tensor, neighbours: Tensor) -> dict[str, Tensor]:
        features = self.features(x, edges, neighbours)
        return {"features": features.mean(1), "logits": self.classification(features, edges, neighbours)}
