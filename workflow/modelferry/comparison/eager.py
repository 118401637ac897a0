"""Networks in eager mode: the one evaluation that workflow, Python API, benchmarks and diagnosis share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelferry.comparison.outputs import by_event
from modelferry.core.contract import Arrays, Contract
from modelferry.core.nested_outputs import flat, named
from modelferry.core.tensors import to_array, to_tensor

if TYPE_CHECKING:
    import torch


def call_eagerly(
    network: torch.nn.Module,
    names: Sequence[str],
    inputs: Arrays,
    dtype: torch.dtype | None = None,
    outputs: Sequence[str] | None = None,
) -> Arrays:
    """Return the outputs of one call of a network by name, without gradients.

    Parameters
    ----------
    names
        The inputs in the order of ``forward``.
    dtype
        What floating inputs are converted to; by default they stay as they are.
    outputs
        What the outputs are called, in order; by default what the network itself calls them.
    """
    import torch

    tensors = [to_tensor(inputs[name]) for name in names]
    with torch.no_grad():
        result = network(*(t.to(dtype) if dtype is not None and t.is_floating_point() else t for t in tensors))
    values = named(result) if outputs is None else dict(zip(outputs, flat(result), strict=True))
    return {name: to_array(value) for name, value in values.items()}


def run_eagerly(network: torch.nn.Module, contract: Contract, calls: Iterable[Arrays], dtype: torch.dtype) -> Arrays:
    """Return the outputs of an eager network on the inputs of some calls by name, one row an event."""
    names, outputs = ([tensor.name for tensor in tensors] for tensors in (contract.inputs, contract.outputs))
    rows = [call_eagerly(network, names, inputs, dtype, outputs) for inputs in calls]
    return {name: np.concatenate([by_event(row[name]) for row in rows]) for name in outputs}
