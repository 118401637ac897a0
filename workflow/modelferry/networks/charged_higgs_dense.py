"""The charged-Higgs ParticleNet as it is exported, dense layout: padded events, all graph building inside.

Particles are (B, N, 9) with a mask of those that are there, wherever they stand: a padded one influences nothing,
whatever it holds. An event without any gives what the reference gives for one: all its pooled features are 0. Nothing
is quadratic in the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelferry.networks.charged_higgs_layers import EdgeLayers, ParticleNetLayers
from modelferry.networks.directions import DeltaR
from modelferry.transforms import NONE


def nearest(distance: Tensor, k: int) -> Tensor:
    """Return the `k` nodes with the smallest distance from each, ascending, the first of equals first.

    Parameters
    ----------
    distance
        (B, N, N), infinite for pairs that are no edges.
    k
        Neighbour slots; for small k, taking the smallest k times is faster than sorting, and stable.

    Returns
    -------
    Tensor
        Indices (B, N, k) int64, any where no finite distance is left.
    """
    number = torch.arange(distance.size(2), device=distance.device)
    slots: list[Tensor] = []
    for _ in range(k):
        closest = distance.argmin(2, keepdim=True)
        slots.append(closest)
        distance = torch.where(number == closest, float("inf"), distance)
    return torch.cat(slots, dim=2)


class GraphNorm(nn.Module):
    """Graph normalisation of each event for itself (PyTorch Geometric's ``GraphNorm``), padding left out."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.mean_scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Return normalised nodes (B, N, F) for nodes (B, N, F), zero where padded, and which are present (B, N, 1)."""
        count = present.sum(1, keepdim=True).clamp(min=1.0)
        centred = (x - x.sum(1, keepdim=True) / count * self.mean_scale) * present
        variance = centred.square().sum(1, keepdim=True) / count
        return self.weight * centred / (variance + 1e-5).sqrt() + self.bias


class EdgeConvolution(EdgeLayers):
    """Edge convolution with a residual shortcut: mean over incoming edges of MLP([x_i, x_j − x_i]).

    Values keep the axes (B, N, k, F) until a matrix product: joined ones would cost a division an index.
    """

    def to_nearest(self, x: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        """Return (B, N, outputs) with messages from each node to its nearest, `index` and `valid` (B, N, k)."""
        centre, neighbour, shortcut = self.products(x)
        message = self.mlp(self.joined(rows(centre, index), neighbour.unsqueeze(2).expand(-1, -1, index.size(2), -1)))
        number = torch.arange(index.size(1), device=x.device).view(1, -1, 1, 1)
        arrives = ((index.unsqueeze(1) == number) & valid.unsqueeze(1)).to(x.dtype).flatten(2)
        count = arrives.sum(2, keepdim=True)
        mean = torch.bmm(arrives, message.flatten(1, 2)) / count.clamp(min=1.0)
        return self.finished(mean, count.clamp(max=1.0), shortcut)

    def forward(self, x: Tensor, excluded: Tensor, filled: Tensor) -> Tensor:
        """Return (B, N, outputs) with messages to each node from its nearest in the space of `x`.

        `excluded` is infinite for pairs that are no edges (B, N, N), `filled` 1 for filled slots, else 0 (B, N, k, 1).
        """
        apart = x.unsqueeze(2) - x.unsqueeze(1)
        index = nearest((apart * apart).sum(3) + excluded, filled.size(2))
        centre, neighbour, shortcut = self.products(x)
        message = self.mlp(self.joined(centre.unsqueeze(2).expand(-1, -1, index.size(2), -1), rows(neighbour, index)))
        mean = (message * filled).sum(2) / filled.sum(2).clamp(min=1.0)
        return self.finished(mean, filled[:, :, 0], shortcut)


def rows(x: Tensor, index: Tensor) -> Tensor:
    """Return (B, N, k, F) of nodes (B, N, F) for indices within each event (B, N, k)."""
    event = torch.arange(x.size(0), device=x.device).view(-1, 1, 1)
    return x[event, index]


class DenseParticleNet(ParticleNetLayers):
    """The deployable in the dense layout: x (B, N, 9), mask (B, N) bool, graph_input (B, 4) → logits (B, 4)."""

    def __init__(self, hidden: int = 128, transforms: frozenset[str] = NONE) -> None:
        super().__init__(GraphNorm, EdgeConvolution, hidden, transforms)
        self.delta_r = DeltaR()

    def forward(self, x: Tensor, mask: Tensor, graph_input: Tensor) -> Tensor:
        """Return logits (B, 4)."""
        number = torch.arange(mask.size(1), device=x.device)
        usable = mask.unsqueeze(2) & mask.unsqueeze(1) & (number.unsqueeze(1) != number)
        excluded = torch.zeros_like(usable, dtype=x.dtype).masked_fill(~usable, float("inf"))
        others = mask.sum(1).sub(1).view(-1, 1, 1)
        valid = mask.unsqueeze(2) & (torch.arange(self.neighbours, device=x.device) < others)
        filled, present = valid.to(x.dtype).unsqueeze(3), mask.to(x.dtype).unsqueeze(2)
        x = torch.where(mask.unsqueeze(2), x, 0.0)
        index = nearest(self.delta_r(x[..., 1], x[..., 2], x[..., 3]) + excluded, self.neighbours)
        x = self.gn0(x, present)
        first = self.conv1.to_nearest(x, index, valid)  # type: ignore[operator]
        second = self.conv2(first, excluded, filled)
        third = self.conv3(second, excluded, filled)
        total = (torch.cat([first, second, third], dim=2) * present).sum(1)
        return self.logits(total / present.sum(1).clamp(min=1.0), graph_input)
