"""Networks in eager mode, on probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from modelferry.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.validation.compare import by_event
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

    With `noise`, a seed, all floating numbers of the events are changed by some units in the last place of float32, and
    what `collate` makes of them with them: the edges of a first layer, say. `prepare` may do anything else to inputs.
    """
    rng = np.random.default_rng(noise)
    rows: list[tuple[torch.Tensor, ...]] = []
    for probe in probes:
        with np.errstate(invalid="ignore"):
            events = [_shaken(event, rng, family) for event in probe.events] if noise else probe.events
            inputs = prepare(family.collate(events, contract.layout))
        tensors = [torch.from_numpy(inputs[tensor.name]) for tensor in contract.inputs]
        with torch.inference_mode():
            result = network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
        rows.append(result if isinstance(result, tuple) else (result,))
    columns = zip(*rows, strict=True)
    return {
        tensor.name: by_event(torch.cat(column).numpy())
        for tensor, column in zip(contract.outputs, columns, strict=True)
    }


def _shaken(event: Arrays, rng: np.random.Generator, family: Family) -> Arrays:
    return {
        name: (array * (1 + NOISE * family.shaking(name) * rng.standard_normal(array.shape))).astype(array.dtype)
        if np.issubdtype(array.dtype, np.floating)
        else array
        for name, array in event.items()
    }
