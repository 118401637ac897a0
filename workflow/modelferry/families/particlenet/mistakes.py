"""Mistakes that ports of the JetClass ParticleNet make, made on purpose to its reference."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from modelferry.families.particlenet.reference import EdgeConvolution, neighbours_of


def _blocks(network: nn.Module) -> Iterable[EdgeConvolution]:
    return (module for module in network.modules() if isinstance(module, EdgeConvolution))


def self_as_neighbour(network: nn.Module) -> nn.Module:
    """Leave each particle among its own neighbours, instead of the farthest of them."""
    for block in _blocks(network):
        block.find = lambda points, k: torch.cat(
            [torch.arange(points.size(2)).view(1, -1, 1).expand(len(points), -1, 1), neighbours_of(points, k)],
            dim=2,
        )[:, :, :k]
    return network


def difference_first(network: nn.Module) -> nn.Module:
    """Give the first convolution of each block (x_j − x_i, x_i)."""
    for block in _blocks(network):
        block.convs[0].register_forward_pre_hook(lambda _, given: (torch.cat(given[0].chunk(2, dim=1)[::-1], dim=1),))
    return network


def static_graph(network: nn.Module) -> nn.Module:
    """Look for neighbours in the coordinates of the first block in all of them."""
    points: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, Tensor]) -> None:
        points[:] = [given[0]]

    first, *others = _blocks(network)
    first.register_forward_pre_hook(keep)
    for block in others:
        block.register_forward_pre_hook(lambda _, given: (points[0], given[1]))
    return network


def maximum(network: nn.Module) -> nn.Module:
    """Take the maximum over neighbours instead of the mean."""
    for block in _blocks(network):
        block.pool = lambda x: x.amax(dim=3)
    return network


def mean_over_padding(network: nn.Module) -> nn.Module:
    """Divide the pooled features by all positions of the call instead of by the real particles."""
    shares: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Any, ...]) -> None:
        mask = given[2]
        shares[:] = [mask.sum(2).clamp(min=1) / (mask.size(2) + 1)]

    network.register_forward_pre_hook(keep)
    network.get_submodule("fc").register_forward_pre_hook(lambda _, given: (given[0] * shares[0],))
    return network
