"""The weights inside an artifact, read back and compared with the checkpoint's: no change is too small to show.

The checkpoint's are taken through the same conversion and transforms as at export, and compared bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelferry.formats.shared.weight_slots import raw_bytes

if TYPE_CHECKING:
    import torch

LISTED = 3
"""Altered tensors that a reason names."""


@dataclass(frozen=True)
class Altered:
    """A tensor of which `count` of `total` values differ, by up to `largest`; infinite if it has another size."""

    name: str
    count: int
    total: int
    largest: float

    def __str__(self) -> str:
        if self.count == 0:
            return f"'{self.name}' has another size"
        return f"'{self.name}' ({self.count} of {self.total} values, by up to {self.largest:.2g})"


def altered(inside: Mapping[str, bytes], weights: Mapping[str, torch.Tensor]) -> list[Altered]:
    """Return the tensors of which an artifact holds other bits than `weights`, in their order.

    Raises
    ------
    KeyError
        If the artifact holds a tensor that `weights` have not: its format is at fault.
    """
    order = {name: position for position, name in enumerate(weights)}
    return [
        _difference(name, inside[name], weights[name])
        for name in sorted(inside, key=order.__getitem__)
        if inside[name] != raw_bytes(weights[name])
    ]


def describe(changes: Sequence[Altered]) -> str:
    """Return which weights are not the checkpoint's; empty if all are."""
    if not changes:
        return ""
    more = f" and {len(changes) - LISTED} more" if len(changes) > LISTED else ""
    named = ", ".join(map(str, changes[:LISTED]))
    return f"weights inside are not the checkpoint's: {named}{more}"


def _difference(name: str, inside: bytes, weight: torch.Tensor) -> Altered:
    wanted = raw_bytes(weight)
    if len(inside) != len(wanted):
        return Altered(name, 0, weight.numel(), float("inf"))
    rows = [np.frombuffer(data, np.uint8).reshape(weight.numel(), -1) for data in (inside, wanted)]
    count = int((rows[0] != rows[1]).any(axis=1).sum())
    values = [_values(data, weight) for data in (inside, wanted)]
    difference = np.abs(values[0] - values[1])
    return Altered(name, count, weight.numel(), float(np.nan_to_num(difference, nan=np.inf).max(initial=0)))


def _values(data: bytes, weight: torch.Tensor) -> np.ndarray:
    import torch

    tensor = torch.frombuffer(bytearray(data), dtype=weight.dtype)
    values: np.ndarray = tensor.double().numpy()
    return values
