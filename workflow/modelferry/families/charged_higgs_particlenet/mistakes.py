"""Mistakes that have been made in exporting the charged-Higgs ParticleNet, made on purpose to its reference.

Each function changes what flows between the modules of a network and returns it; the modules stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from modelferry.families.charged_higgs_particlenet.reference import knn_graph
from modelferry.families.charged_higgs_particlenet.sizes import NEIGHBOURS

Edges = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the input of a later layer (ΣN, F), the edges of the input (2, E) and the event of each particle (ΣN,)."""


def reversed_edges(network: nn.Module) -> nn.Module:
    """Turn the first layer's edges round: messages from the neighbours to the centre, as the library would have it."""
    network.get_submodule("conv1").register_forward_pre_hook(lambda _, given: (given[0], given[1].flip(0)))
    return network


def static_edges(network: nn.Module) -> nn.Module:
    """Use the input's edges in the second and third layer, which ought to build their own."""
    return _with_edges(network, lambda x, edges, batch: edges)


def one_neighbour_more(network: nn.Module) -> nn.Module:
    """Give each particle one neighbour more in the second and third layer."""
    return _with_edges(network, lambda x, edges, batch: knn_graph(x, NEIGHBOURS + 1, batch))


def normalised_over_the_batch(network: nn.Module) -> nn.Module:
    """Call the graph normalisation as if all particles were of one event."""
    network.get_submodule("gn0").register_forward_pre_hook(lambda _, given: (given[0], torch.zeros_like(given[1]), 1))
    return network


def _with_edges(network: nn.Module, edges: Edges) -> nn.Module:
    inputs: list[Any] = []
    network.register_forward_pre_hook(lambda _, given: inputs.__setitem__(slice(None), given))

    def replaced(_: nn.Module, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        _, edge_index, _, batch = inputs
        return given[0], edges(given[0], edge_index, batch)

    for name in ("conv2", "conv3"):
        network.get_submodule(name).register_forward_pre_hook(replaced)
    return network
