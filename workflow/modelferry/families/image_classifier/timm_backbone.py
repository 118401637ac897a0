"""Networks of the package timm, an optional extra: as they are, but for what is done to an image first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modelferry.core.errors import ConfigError


def backbone(
    name: str, classes: int, channels: int, options: Mapping[str, Any], mean: Sequence[float], std: Sequence[float]
) -> nn.Module:
    """Return timm's network of that name, without weights; a hook normalises images before it sees them.

    Raises
    ------
    ConfigError
        If timm is not installed, or knows no such network.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(f"the network '{name}' is of timm, which is not installed", "pip install timm") from error
    try:
        network: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=classes, in_chans=channels, **options
        )
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"timm makes no network '{name}': {reason}", "see timm.list_models()") from error
    network.register_buffer("image_mean", torch.tensor(mean or [0.0]).view(-1, 1, 1), persistent=False)
    network.register_buffer("image_std", torch.tensor(std or [1.0]).view(-1, 1, 1), persistent=False)
    network.register_forward_pre_hook(_normalise)
    return network


def _normalise(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    image, mean, std = inputs[0], network.image_mean, network.image_std
    assert isinstance(mean, Tensor)
    assert isinstance(std, Tensor)
    numbers = image if image.is_floating_point() else image.to(mean.dtype) / 255
    return ((numbers - mean) / std, *inputs[1:])
