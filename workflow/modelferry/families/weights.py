"""A checkpoint in a network: the reference with its weights, and the weights under the deployable's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelferry.checkpoints.reader import fit
from modelferry.families import Family

if TYPE_CHECKING:
    import torch


def load_reference(family: Family, hyperparameters: Mapping[str, Any], path: str) -> torch.nn.Module:
    """Return the network as trained, with its weights, in evaluation mode and float32."""
    network = family.reference(hyperparameters)
    network.load_state_dict(fit(family.load_weights(path, hyperparameters), network, path))
    return network.eval()


def trained_weights(family: Family, hyperparameters: Mapping[str, Any], path: str) -> dict[str, torch.Tensor]:
    """Return a model's weights under the names of its deployable as trained; raise `CheckpointError` if they don't fit.

    The reference is not needed for it: its library may take seconds to import.
    """
    trained = family.deployable(hyperparameters, family.reference_layout)
    return fit(family.load_weights(path, hyperparameters), trained, path)


def count_parameters(family: Family, hyperparameters: Mapping[str, Any]) -> int:
    """Return the number of trained values; batch-norm statistics do not count."""
    network = family.deployable(hyperparameters, family.reference_layout)
    return sum(parameter.numel() for parameter in network.parameters())
