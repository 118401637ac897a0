"""The JetClass ParticleNet as it is exported: pure PyTorch operators, every number of jets and particles.

Particles of all jets are the rows of one matrix, (B · P, F), so that each layer is one matrix product. Where the
network as trained averages over padding, in jets of at most k particles, slots without neighbour stand in for it: no
positions are added. Without transforms the state-dict keys are those of the trained network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from modelferry.families.shared.pointwise import batch_norm, pointwise
from modelferry.families.transforms import FOLD_BATCH_NORM, NONE, REMOVE_DROPOUT, SPLIT_EDGE_LINEAR
from modelferry.families.transforms.batch_norm import fold_into_previous
from modelferry.families.transforms.dropout import remove_dropout
from modelferry.families.transforms.edge_convolution import split_edge_linear


class EdgeConvolution(nn.Module):
    """Mean over k neighbours of an MLP of [x_i, x_j − x_i], and a shortcut; absent neighbours have features 0."""

    __constants__: ClassVar[list[str]] = ["split", "narrows"]

    def __init__(self, k: int, inputs: int, widths: Sequence[int], transforms: frozenset[str]) -> None:
        super().__init__()
        self.k, self.outputs = k, widths[-1]
        folded, self.split = FOLD_BATCH_NORM in transforms, SPLIT_EDGE_LINEAR in transforms
        ins = [2 * inputs, *widths[:-1]]
        self.convs = nn.ModuleList(pointwise(a, b, 2, folded) for a, b in zip(ins, widths, strict=True))
        self.bns = nn.ModuleList(batch_norm(width, folded) for width in widths)
        if self.split:
            self.convs[0] = nn.Identity()
            self.node = nn.Linear(inputs, 2 * widths[0])
        self.narrows = inputs != widths[-1]
        self.sc = pointwise(inputs, widths[-1], 1, folded) if self.narrows else nn.Identity()
        self.sc_bn = batch_norm(widths[-1], folded) if self.narrows else nn.Identity()

    def forward(self, points: Tensor, x: Tensor, excluded: Tensor, first: Tensor) -> Tensor:
        """Return (B · P, outputs) for coordinates (B, P, D) and features (B · P, inputs).

        Parameters
        ----------
        excluded
            Infinite for pairs that are no neighbours, (B, P, P).
        first
            The row of each jet's first particle, (B, 1, 1).
        """
        index, present = self.nearest(points, excluded)
        rows = (index + first).flatten(0, 1)
        present = present.flatten(0, 1).unsqueeze(2)
        if self.split:
            centre, neighbour = self.node(x).chunk(2, dim=1)
            edges = centre.unsqueeze(1) + torch.where(present, embedding(rows, neighbour), 0.0)
        else:
            centre = x.unsqueeze(1)
            difference = torch.where(present, embedding(rows, x), 0.0) - centre
            edges = torch.cat([centre.expand_as(difference), difference], dim=2)
        message = edges.flatten(0, 1)
        for conv, norm in zip(self.convs, self.bns):  # noqa: B905 - TorchScript knows no `strict`
            message = norm(conv(message)).relu()
        mean = message.view(-1, self.k, self.outputs).mean(1)
        return (mean + self.sc_bn(self.sc(x))).relu()

    def nearest(self, points: Tensor, excluded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest neighbours of each particle, (B, P, k), and which of these slots have one."""
        difference = points.unsqueeze(2) - points.unsqueeze(1)
        distance = (difference * difference).sum(3) + excluded
        none = torch.full_like(excluded[:, :, :1], float("inf")).expand(-1, -1, self.k)
        value, index = torch.cat([distance, none], dim=2).topk(self.k, dim=2, largest=False)
        present = value < float("inf")
        return torch.where(present, index, 0), present


class ParticleNet(nn.Module):
    """The deployable: pf_points (B, 2, P), pf_features (B, F, P), pf_mask (B, 1, P) → logits (B, classes)."""

    def __init__(
        self,
        features: int,
        classes: int,
        neighbours: int,
        widths: Sequence[Sequence[int]],
        dense: Sequence[int],
        transforms: frozenset[str] = NONE,
    ) -> None:
        super().__init__()
        self.bn_fts = nn.BatchNorm1d(features)
        ins = [features, *(block[-1] for block in widths)]
        self.edge_convs = nn.ModuleList(
            EdgeConvolution(neighbours, ins[i], block, transforms) for i, block in enumerate(widths)
        )
        layers: list[nn.Module] = []
        for inputs, outputs in zip([ins[-1], *dense], dense, strict=False):
            layers.append(nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(0.1)))
        self.fc = nn.Sequential(*layers, nn.Linear([ins[-1], *dense][-1], classes))
        if REMOVE_DROPOUT in transforms:
            remove_dropout(self)

    def forward(self, pf_points: Tensor, pf_features: Tensor, pf_mask: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        real = (pf_mask != 0).transpose(1, 2)
        jets, particles = real.size(0), real.size(1)
        number = torch.arange(particles, device=real.device)
        usable = real.transpose(1, 2) & (number != number.unsqueeze(1))
        excluded = torch.where(usable, 0.0, float("inf")).to(pf_points.dtype)
        first = torch.arange(jets, device=real.device).mul(particles).view(-1, 1, 1)
        row_is_real = real.flatten(0, 1)
        x = torch.where(row_is_real, self.bn_fts(pf_features.transpose(1, 2).flatten(0, 1)), 0.0)
        points = torch.where(real, pf_points.transpose(1, 2), 0.0)
        for block in self.edge_convs:
            x = torch.where(row_is_real, block(points, x, excluded, first), 0.0)
            points = x.view(jets, particles, -1)
        count = real.to(x.dtype).sum(1).clamp(min=1.0)
        return self.fc(points.sum(1) / count)


def converted(state_dict: Mapping[str, Tensor], transforms: frozenset[str]) -> dict[str, Tensor]:
    """Return the weights of a transformed deployable for a checkpoint's, computed in float64 and rounded once."""
    if not transforms & {FOLD_BATCH_NORM, SPLIT_EDGE_LINEAR}:
        return dict(state_dict)
    dtype = state_dict["bn_fts.weight"].dtype
    state = {name: t.double() if t.is_floating_point() else t for name, t in state_dict.items()}
    blocks = dict.fromkeys(".".join(name.split(".")[:2]) for name in state if name.startswith("edge_convs."))
    for block in blocks:
        layers = sum(name.startswith(f"{block}.convs.") for name in state)
        if FOLD_BATCH_NORM in transforms:
            for layer, norm in [*((f"convs.{i}", f"bns.{i}") for i in range(layers)), ("sc", "sc_bn")]:
                if f"{block}.{layer}.weight" in state:
                    state[f"{block}.{layer}.weight"] = state[f"{block}.{layer}.weight"].flatten(1)
                    state = fold_into_previous(state, f"{block}.{layer}", f"{block}.{norm}")
        if SPLIT_EDGE_LINEAR in transforms:
            weight = state[f"{block}.convs.0.weight"].flatten(1)
            bias = state.get(f"{block}.convs.0.bias", torch.zeros(len(weight), dtype=torch.float64))
            state |= {f"{block}.convs.0.weight": weight, f"{block}.convs.0.bias": bias}
            state = split_edge_linear(state, f"{block}.convs.0", f"{block}.node")
    names = sorted(state, key=lambda name: name.startswith("fc."))
    return {name: state[name].to(dtype) if state[name].is_floating_point() else state[name] for name in names}
