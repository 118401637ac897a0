"""The charged-Higgs ParticleNet as it is exported, dense layout: padded events, all graph building inside.

Particles are (B, N, 9) with a mask of those that are there, wherever they stand: a padded one influences nothing,
whatever it holds. An event without any gives what the reference gives for one: all its pooled features are 0. Nothing
is quadratic in the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from modelferry.families.charged_higgs_particlenet.layers import EdgeLayers, ParticleNetLayers
from modelferry.families.shared.directions import DeltaR
from modelferry.families.transforms import NONE


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

    def forward(self, x: Tensor, present: Tensor, count: Tensor) -> Tensor:
        """Return normalised nodes (B, N, F) for nodes (B, N, F), zero where they are not `present` (B, N, 1).

        `count` (B, 1, 1) are the nodes of each event, at least 1.
        """
        centred = (x - x.sum(1, keepdim=True) / count * self.mean_scale) * present
        variance = centred.square().sum(1, keepdim=True) / count
        return self.weight * centred / (variance + 1e-5).sqrt() + self.bias


class Slots(NamedTuple):
    """What is known of the neighbours of each particle before any is found.

    Attributes
    ----------
    number
        Of each particle in its event, (N, 1).
    excluded
        Infinite for pairs whose second particle is absent or the first itself, else 0, (B, N, N).
    first
        The row of each event's first particle among all, (B, 1, 1).
    valid
        Which slots of a particle have a neighbour, (B, N, k).
    share
        For these, 1 over the number of a particle's neighbours, else 0, (B · N, k, 1).
    connected
        1 for particles that have neighbours, else 0, (B · N, 1).
    """

    number: Tensor
    excluded: Tensor
    first: Tensor
    valid: Tensor
    share: Tensor
    connected: Tensor


class EdgeConvolution(EdgeLayers):
    """Edge convolution with a residual shortcut: mean over incoming edges of MLP([x_i, x_j − x_i]).

    The particles of all events are the rows of one matrix, (B · N, F), so that each linear layer is one matrix product
    whose bias and activation every compiler fuses into it.
    """

    def messages(self, centre: Tensor, neighbour: Tensor) -> Tensor:
        """Return (B · N · k, outputs) for the two ends of each edge, one (…, k, F), the other (…, 1, F)."""
        return self.mlp(self.joined(centre, neighbour).flatten(0, -2))

    def to_nearest(self, x: Tensor, index: Tensor, slots: Slots) -> Tensor:
        """Return (B · N, outputs) with messages from each node to its nearest, `index` (B, N, k) within its event."""
        centre, neighbour = self.ends(x)
        message = self.messages(embedding((index + slots.first).flatten(0, 1), centre), neighbour.unsqueeze(1))
        to = torch.where(slots.valid, index, -1).view(index.size(0), 1, -1)
        arrives = (to == slots.number).to(x.dtype)
        count = arrives.sum(2, keepdim=True)
        mean = torch.bmm(arrives, message.view(index.size(0), -1, self.outputs)) / count.clamp(min=1.0)
        return self.finished(mean.flatten(0, 1), count.clamp(max=1.0).flatten(0, 1), x)

    def forward(self, x: Tensor, slots: Slots) -> Tensor:
        """Return (B · N, outputs) with messages to each node from its nearest in the space of `x`."""
        events, particles = slots.valid.size(0), slots.valid.size(1)
        nodes = x.view(events, particles, -1)
        difference = nodes.unsqueeze(2) - nodes.unsqueeze(1)
        index = nearest((difference * difference).sum(3) + slots.excluded, self.neighbours)
        centre, neighbour = self.ends(x)
        targets = centre.view(events, particles, 1, -1)
        message = self.messages(targets, embedding(index + slots.first, neighbour))
        mean = (message.view(-1, self.neighbours, self.outputs) * slots.share).sum(1)
        return self.finished(mean, slots.connected, x)


class DenseParticleNet(ParticleNetLayers):
    """The deployable in the dense layout: x (B, N, 9), mask (B, N) bool, graph_input (B, 4) → logits (B, 4)."""

    def __init__(self, hidden: int = 128, transforms: frozenset[str] = NONE) -> None:
        super().__init__(GraphNorm, EdgeConvolution, hidden, transforms)
        self.delta_r = DeltaR()

    def forward(self, x: Tensor, mask: Tensor, graph_input: Tensor) -> Tensor:
        """Return logits (B, 4)."""
        present = mask.to(x.dtype).unsqueeze(2)
        total = present.sum(1, keepdim=True)
        slots, count = self.slots(mask, total), total.clamp(min=1.0)
        x = torch.where(mask.unsqueeze(2), x, 0.0)
        wide = x.double()
        index = nearest(self.delta_r(wide[..., 1], wide[..., 2], wide[..., 3]) + slots.excluded, self.neighbours)
        x = self.gn0(x, present, count).flatten(0, 1)
        first = self.conv1.to_nearest(x, index, slots)  # type: ignore[operator]
        second = self.conv2(first, slots)
        third = self.conv3(second, slots)
        nodes = torch.cat([first, second, third], dim=1).view(mask.size(0), mask.size(1), -1)
        return self.logits((nodes * (present / count)).sum(1), graph_input)

    def slots(self, mask: Tensor, total: Tensor) -> Slots:
        """Return the slots of events with `total` (B, 1, 1) particles, which stand where `mask` (B, N) says."""
        row = torch.arange(mask.size(1), device=mask.device)
        number = row.unsqueeze(1)
        usable = mask.unsqueeze(1) & (number != row)
        others = total - 1.0
        valid = mask.unsqueeze(2) & (torch.arange(self.neighbours, device=mask.device) < others)
        share = valid.to(total.dtype) / others.clamp(min=1.0, max=float(self.neighbours))
        return Slots(
            number=number,
            excluded=torch.where(usable, 0.0, float("inf")),
            first=torch.arange(mask.size(0), device=mask.device).mul(mask.size(1)).view(-1, 1, 1),
            valid=valid,
            share=share.view(-1, self.neighbours, 1),
            connected=valid[..., 0].to(total.dtype).view(-1, 1),
        )
