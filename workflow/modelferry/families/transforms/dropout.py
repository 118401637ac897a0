"""Dropout does nothing outside training, but a traced or exported graph may still carry it."""

from __future__ import annotations

from torch import nn


def remove_dropout(module: nn.Module) -> nn.Module:
    """Return `module` with all dropout layers inside replaced by identities, so that the names of others stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.dropout._DropoutNd):
            setattr(module, name, nn.Identity())
        else:
            remove_dropout(child)
    return module
