"""Networks in eager mode, on probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from modelferry.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.validation.probes import Probe

NOISE = 1e-6
"""Relative size of the shaking: some units in the last place, as much as another order of sums makes."""

Prepare = Callable[[Arrays], Arrays]


def evaluate(
    network: torch.nn.Module,
    family: Family,
    contract: Contract,
    probes: Iterable[Probe],
    dtype: torch.dtype = torch.float32,
    noise: int = 0,
    prepare: Prepare = lambda inputs: inputs,
) -> Arrays:
    """Return the outputs of an eager network on all probes by name, one row an event.

    With `noise`, a seed, all real inputs are changed by some units in the last place of float32; `prepare` may do
    anything else to the inputs of a call.
    """
    generator = torch.Generator().manual_seed(noise)
    rows: list[tuple[torch.Tensor, ...]] = []
    for probe in probes:
        inputs = prepare(family.collate(probe.events, contract.layout))
        tensors = [torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs]
        if noise:
            tensors = [_shaken(tensor, generator) for tensor in tensors]
        with torch.inference_mode():
            result = network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
        rows.append(result if isinstance(result, tuple) else (result,))
    columns = zip(*rows, strict=True)
    return {tensor.name: torch.cat(column).numpy() for tensor, column in zip(contract.outputs, columns, strict=True)}


def _shaken(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor * (1 + NOISE * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))
