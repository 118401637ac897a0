"""Mistakes that ports of the Particle Transformer make, made on purpose to its reference."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from modelferry.families.particle_transformer.reference import Block, PairEmbed


def _blocks(network: nn.Module) -> Iterable[Block]:
    return (module for module in network.modules() if isinstance(module, Block))


def other_head_scaling(network: nn.Module) -> nn.Module:
    """Put scaled heads together in the form of the other versions of weaver."""
    for block in _blocks(network):
        block.head_scaling = "plain" if block.head_scaling == "transposed" else "transposed"
    return network


def other_pair_activation(network: nn.Module) -> nn.Module:
    """Add an activation after the last layer of the pair embedding, or take it away."""
    pairs = network.get_submodule("pair_embed")
    assert isinstance(pairs, PairEmbed)
    layers = list(pairs.embed)
    pairs.embed = nn.Sequential(*(layers[:-1] if isinstance(layers[-1], nn.GELU) else [*layers, nn.GELU()]))
    return network


def no_pairs(network: nn.Module) -> nn.Module:
    """Leave the pair embedding out of attention."""
    network.get_submodule("pair_embed").register_forward_hook(lambda _, __, result: torch.zeros_like(result))
    return network


def normalised_query(network: nn.Module) -> nn.Module:
    """Normalise the class token before it attends, as particles are."""

    def normalised(block: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x, bias, token = given
        return x, bias, block.get_submodule("pre_attn_norm")(token)

    for block in network.get_submodule("cls_blocks").children():
        block.register_forward_pre_hook(normalised)
    return network
