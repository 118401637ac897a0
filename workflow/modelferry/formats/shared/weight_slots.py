"""The weights that a template waits for, and the check that what is filled in is exactly that.

A template knows every tensor of its deployable's state dict. A tensor that the graph reads must be given, and so must
every other tensor of floating point: only counters that no graph reads (``num_batches_tracked``) may be left out.
Nothing may be given that the deployable does not have.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, RootModel

from modelferry.core.errors import ArtifactError

if TYPE_CHECKING:
    import torch

LISTED = 5
"""Names that an error lists at most."""


class WeightSlot(BaseModel):
    """A tensor of the deployable that a template leaves open; `read` tells whether its graph reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: tuple[int, ...]
    read: bool
    optional: bool
    """Whether nothing is lost if it is not given."""

    @property
    def bytes(self) -> int:
        """The size of its values."""
        import torch

        return math.prod(self.shape) * getattr(torch, self.dtype).itemsize


class WeightSlots(RootModel[dict[str, WeightSlot]]):
    """All open tensors of a template, by their names in the deployable's state dict."""

    model_config = ConfigDict(frozen=True)

    @classmethod
    def of(cls, state_dict: Mapping[str, torch.Tensor], read: Collection[str]) -> WeightSlots:
        """Return the slots of a deployable, `read` being the names that its graph reads."""
        return cls(
            {
                name: WeightSlot(
                    dtype=str(tensor.dtype).removeprefix("torch."),
                    shape=tuple(tensor.shape),
                    read=name in read,
                    optional=name not in read and not tensor.is_floating_point(),
                )
                for name, tensor in state_dict.items()
            }
        )

    @property
    def read(self) -> tuple[str, ...]:
        """Names of the tensors that the graph reads."""
        return tuple(name for name, slot in self.root.items() if slot.read)

    def check(self, weights: Mapping[str, torch.Tensor], template: Path) -> None:
        """Raise `ArtifactError` unless `weights` are the tensors that `template` waits for."""
        remedy = "the template is of another architecture: build it again"
        required = {name for name, slot in self.root.items() if not slot.optional}
        if missing := sorted(required - weights.keys()):
            raise ArtifactError(f"{template}: no weights given for {_listed(missing)}", remedy)
        if unknown := sorted(weights.keys() - self.root.keys()):
            raise ArtifactError(f"{template} has no slot for the weights {_listed(unknown)}", remedy)
        for name, tensor in weights.items():
            slot = self.root[name]
            dtype = str(tensor.dtype).removeprefix("torch.")
            if (dtype, tuple(tensor.shape)) != (slot.dtype, slot.shape):
                given, wanted = f"{dtype} {tuple(tensor.shape)}", f"{slot.dtype} {slot.shape}"
                raise ArtifactError(f"{template}: '{name}' is given as {given} but is {wanted} there", remedy)


def distinct_copy(deployable: torch.nn.Module) -> torch.nn.Module:
    """Return a copy in evaluation mode, each floating weight with storage and values of its own.

    Compilers share the storage of equal constants and fold what they know to be 0 or 1: neither must happen to a
    template, whose weights come later.

    Raises
    ------
    ArtifactError
        If one tensor has two names: a template could not tell which one to fill.
    """
    import torch

    replica = copy.deepcopy(deployable).eval().requires_grad_(False)
    given = 0
    owners: dict[int, str] = {}
    for name, tensor in replica.state_dict(keep_vars=True).items():
        if tensor.numel() and (owner := owners.setdefault(tensor.untyped_storage().data_ptr(), name)) != name:
            raise ArtifactError(f"'{owner}' and '{name}' share their memory", "give the deployable a tensor for each")
        fresh = tensor.detach().clone(memory_format=torch.contiguous_format)
        if fresh.is_floating_point():
            number = torch.arange(given, given + fresh.numel())
            fresh.copy_(_distinct(number).view_as(fresh))
            given += fresh.numel()
        tensor.data = fresh
    return replica


def _distinct(number: torch.Tensor) -> torch.Tensor:
    """Return the float32 between 0.5 and 2 of each number; different ones for different numbers below 2²⁴."""
    import torch

    return (0x3F000000 + number * 0x9E3779B1 % 2**24).to(torch.int32).view(torch.float32)


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """Return a tensor's values in memory order, row by row."""
    import torch

    data: bytes = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return data


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(f"'{name}'" for name in names[:LISTED]) + more
