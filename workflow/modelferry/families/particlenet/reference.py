"""The JetClass ParticleNet as it was trained with weaver: arXiv:1902.08570, https://github.com/hqucms/weaver-core.

What looks odd there (distances from a matrix product, the nearest of k + 1 dropped as the particle itself, padding
averaged over in jets of few particles) is part of the trained function and kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

FAR = 1e9
"""Coordinates of padding: no real particle is near it."""


def neighbours_of(points: Tensor, k: int) -> Tensor:
    """Return the `k` nearest positions of each, (N, P, k), for coordinates (N, C, P): the nearest of k + 1 left out."""
    squared = (points * points).sum(1)
    product = torch.matmul(points.transpose(1, 2), points)
    distance = (squared.unsqueeze(2) - 2 * product + squared.unsqueeze(1)).clamp(min=0)
    return distance.topk(k + 1, dim=2, largest=False, sorted=True).indices[:, :, 1:]


def mean(x: Tensor) -> Tensor:
    """Return the mean over neighbours, (N, C, P), for messages (N, C, P, k)."""
    return x.mean(dim=3)


class EdgeConvolution(nn.Module):
    """Mean over k neighbours of three times [convolution, batch norm, ReLU] of [x_i, x_j − x_i], and a shortcut."""

    def __init__(self, k: int, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.k, ins = k, [2 * inputs, *widths[:-1]]
        self.find, self.pool = neighbours_of, mean
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in zip(ins, widths, strict=True))
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.sc: nn.Module | None = None
        if inputs != widths[-1]:
            self.sc = nn.Conv1d(inputs, widths[-1], 1, bias=False)
            self.sc_bn = nn.BatchNorm1d(widths[-1])

    def forward(self, points: Tensor, features: Tensor) -> Tensor:
        """Return (N, outputs, P) for coordinates (N, D, P) and features (N, C, P)."""
        index = self.find(points, self.k)
        jets, channels, positions = features.shape
        flat = index.reshape(jets, 1, positions * self.k).expand(-1, channels, -1)
        neighbour = features.gather(2, flat).view(jets, channels, positions, self.k)
        centre = features.unsqueeze(3).expand_as(neighbour)
        x = torch.cat([centre, neighbour - centre], dim=1)
        for conv, norm in zip(self.convs, self.bns, strict=True):
            x = norm(conv(x)).relu()
        shortcut = self.sc_bn(self.sc(features)) if self.sc is not None else features
        return (shortcut + self.pool(x)).relu()


class ParticleNet(nn.Module):
    """The network; see `modelferry.families.particlenet.family` for the arguments."""

    def __init__(
        self, features: int, classes: int, neighbours: int, widths: Sequence[Sequence[int]], dense: Sequence[int]
    ) -> None:
        super().__init__()
        self.k = neighbours
        self.bn_fts = nn.BatchNorm1d(features)
        ins = [features, *(block[-1] for block in widths)]
        self.edge_convs = nn.ModuleList(EdgeConvolution(neighbours, ins[i], block) for i, block in enumerate(widths))
        sizes = [ins[-1], *dense]
        hidden = [
            nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.1)) for a, b in zip(sizes, dense, strict=False)
        ]
        self.fc = nn.Sequential(*hidden, nn.Linear(sizes[-1], classes))

    def forward(self, pf_points: Tensor, pf_features: Tensor, pf_mask: Tensor) -> Tensor:
        """Return logits (N, classes) for (N, 2, P), (N, F, P) and (N, 1, P).

        Fewer than k + 1 positions are padded to so many, as in training.
        """
        short = max(0, self.k + 1 - pf_mask.size(2))
        points, features, mask = (pad(x, (0, short)) for x in (pf_points, pf_features, pf_mask))
        real = mask != 0
        x = self.bn_fts(features).masked_fill(~real, 0)
        coordinates = points
        for block in self.edge_convs:
            x = block(coordinates.masked_fill(~real, FAR), x).masked_fill(~real, 0)
            coordinates = x
        count = real.to(x.dtype).sum(2).clamp(min=1)
        return self.fc(x.sum(2) / count)
