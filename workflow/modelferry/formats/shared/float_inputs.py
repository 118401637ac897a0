"""Networks that take every input as float32, for callers that have nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelferry.core.contract import Contract, Tensor
from modelferry.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

WHOLE = 2**24
"""Float32 holds all integers below this."""
BELOW: Mapping[str, int] = {"bool": 2, "uint8": 2**8, "int32": WHOLE, "int64": WHOLE}
"""What the numbers of an input are below, by its type."""


def as_floats(own: Contract, destination: str) -> Contract:
    """Return the contract of a network that takes float32 only.

    Raises
    ------
    ConfigError
        If an input has not the events of the call as its first axis, or float32 does not hold it.
    """
    batch = own.outputs[0].shape[0]
    inputs = []
    for tensor in own.inputs:
        where = f"input '{tensor.name}' of layout {own.layout}"
        if tensor.shape[0] != batch:
            raise ConfigError(f"{where} has no axis of {batch} first, which {destination} needs", "use another layout")
        if tensor.dtype not in ("float32", *BELOW):
            raise ConfigError(f"{where} is {tensor.dtype}, and {destination} gives float32", "use another layout")
        inputs.append(tensor.model_copy(update={"dtype": "float32", "below": _below(tensor, where, destination)}))
    changed = ", ".join(f"{tensor.name} ({tensor.dtype})" for tensor in own.inputs if tensor.dtype != "float32")
    note = f"all inputs are float32, of whole numbers where the network has others: {changed}; 1 is True"
    return own.model_copy(update={"inputs": tuple(inputs), "notes": (*own.notes, *([note] if changed else []))})


def _below(tensor: Tensor, where: str, destination: str) -> int | None:
    if isinstance(tensor.below, str):
        raise ConfigError(f"{where} counts along {tensor.below}, which {destination} cannot", "use another layout")
    return tensor.below if tensor.below is not None else BELOW.get(tensor.dtype)


def take_floats(network: torch.nn.Module, own: Contract) -> torch.nn.Module:
    """Let `network` itself take float32 where its contract says another type, by hooks, and return it.

    Of an event with an input that is no whole number in range, all outputs of floating point are NaN.
    """
    import torch

    dtypes = [None if tensor.dtype == "float32" else getattr(torch, tensor.dtype) for tensor in own.inputs]
    limits = [tensor.below if tensor.below is not None else BELOW.get(tensor.dtype) for tensor in own.inputs]
    if not any(dtypes):
        return network
    wrong: list[torch.Tensor] = []
    """Which events of the call at hand hold what the network does not take, (events,)."""

    def before(_: object, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        taken, odd = [], []
        for value, dtype, limit in zip(inputs, dtypes, limits, strict=True):
            if dtype is None:
                taken.append(value)
                continue
            assert isinstance(limit, int)
            fits = (value == torch.floor(value)) & (value >= 0) & (value < limit)
            odd.append((~fits).sum(dim=tuple(range(1, value.dim()))) > 0)  # of nothing, 0; ONNX knows no `any` of it
            taken.append(torch.where(fits, value, 0).to(dtype))
        wrong.append(torch.stack(odd).any(0))
        return tuple(taken)

    def after(_: object, __: object, outputs: object) -> object:
        refused = wrong.pop()
        several = isinstance(outputs, tuple)
        values = tuple(
            torch.where(refused.reshape(-1, *[1] * (value.dim() - 1)), torch.nan, value)
            if value.is_floating_point()
            else value
            for value in (outputs if isinstance(outputs, tuple) else (outputs,))
            if isinstance(value, torch.Tensor)
        )
        return values if several else values[0]

    network.register_forward_pre_hook(before)
    network.register_forward_hook(after)
    return network
