"""Networks in eager mode, on probes."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from modelferry.comparison.outputs import by_event
from modelferry.core.contract import Arrays, Contract


def run_eagerly(network: torch.nn.Module, contract: Contract, calls: Iterable[Arrays], dtype: torch.dtype) -> Arrays:
    """Return the outputs of an eager network on the inputs of some calls by name, one row an event."""
    rows: list[tuple[torch.Tensor, ...]] = []
    for inputs in calls:
        tensors = [torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs]
        with torch.inference_mode():
            result = network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
        rows.append(result if isinstance(result, tuple) else (result,))
    columns = zip(*rows, strict=True)
    return {
        tensor.name: by_event(torch.cat(column).numpy())
        for tensor, column in zip(contract.outputs, columns, strict=True)
    }
