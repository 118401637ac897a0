"""The input contract: names, dtypes, named dimensions with ranges, features and units of a network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelferry.errors import ContractError

Arrays = dict[str, np.ndarray]
"""Named arrays: the inputs or the outputs of one call of a network."""

PROBABILITY = "probability"
"""Unit of an output that is the probability of the positive class, not a logit."""

DType = Literal["float64", "float32", "bfloat16", "int64", "int32", "uint8", "bool"]


class Dimension(BaseModel):
    """A named size that may differ from call to call, with its smallest, typical and largest value.

    `turning` are sizes at which the network starts to behave differently, such as one beyond which inputs are cut.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    minimum: int
    typical: int
    maximum: int
    turning: tuple[int, ...] = ()
    description: str = ""


class Tensor(BaseModel):
    """One input or output.

    `shape` mixes fixed sizes with names of dimensions; `features` names the entries of the last axis, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    features: tuple[str, ...] = ()
    unit: str = ""
    description: str = ""


class Contract(BaseModel):
    """What may be fed to an artifact, in which order, and what comes back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dimensions: tuple[Dimension, ...]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def dimension(self, name: str) -> Dimension:
        """Return the dimension called `name`."""
        return next(d for d in self.dimensions if d.name == name)

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise `ContractError` unless `inputs` have the names, dtypes and sizes that the contract asks for."""
        expected = [tensor.name for tensor in self.inputs]
        if sorted(inputs) != sorted(expected):
            raise ContractError(f"inputs are {sorted(inputs)}", f"the contract asks for {expected}")
        sizes: dict[str, int] = {}
        for tensor in self.inputs:
            self._check_tensor(tensor, inputs[tensor.name], sizes)

    def _check_tensor(self, tensor: Tensor, array: np.ndarray, sizes: dict[str, int]) -> None:
        if array.dtype != tensor.dtype:
            raise ContractError(f"input '{tensor.name}' is {array.dtype}", f"give it as {tensor.dtype}")
        if array.ndim != len(tensor.shape):
            raise ContractError(f"input '{tensor.name}' has shape {array.shape}", f"expected {tensor.shape}")
        for axis, (size, wanted) in enumerate(zip(array.shape, tensor.shape, strict=True)):
            place = f"input '{tensor.name}', axis {axis}"
            if isinstance(wanted, int):
                if size != wanted:
                    raise ContractError(f"{place} has size {size}", f"expected {wanted}")
                continue
            dimension = self.dimension(wanted)
            if not dimension.minimum <= size <= dimension.maximum:
                limits = f"{dimension.minimum} to {dimension.maximum}"
                raise ContractError(f"{place} ('{wanted}') has size {size}", f"allowed: {limits}")
            if sizes.setdefault(wanted, size) != size:
                raise ContractError(f"{place} ('{wanted}') has size {size}", f"another input has {sizes[wanted]}")
