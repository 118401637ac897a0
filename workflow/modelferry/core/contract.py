"""The input contract: names, dtypes, named dimensions with ranges, features and units of a network's inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from modelferry.core.errors import ContractError

Arrays = dict[str, np.ndarray]
"""Named arrays: the inputs or the outputs of one call of a network."""

DType = Literal["float64", "float32", "bfloat16", "int64", "int32", "uint8", "bool"]

Limits = dict[str, tuple[int | tuple[str, int, int], ...]]
"""The sizes of each input: fixed ones, or a dimension's name with its smallest and largest."""


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
    `below` bounds the integers of an input, which go from 0 to less than it: a number, or the size of a dimension that
    they count along.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    features: tuple[str, ...] = ()
    below: int | str | None = None
    unit: str = ""
    description: str = ""


class Contract(BaseModel):
    """What may be fed to an artifact, in which order, and what comes back.

    `scores` is what makes scores of the first output's values: a softmax over the classes, a sigmoid, or nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dimensions: tuple[Dimension, ...]
    classes: tuple[str, ...] = ()
    scores: Literal["softmax", "sigmoid", "nothing"] = "softmax"
    notes: tuple[str, ...] = ()

    def dimension(self, name: str) -> Dimension:
        """Return the dimension called `name`."""
        return next(d for d in self.dimensions if d.name == name)

    def sizes(self, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Return the sizes of the dimensions that `inputs` have axes of."""
        axes = [(tensor.name, axis, name) for tensor in self.inputs for axis, name in enumerate(tensor.shape)]
        return {name: inputs[tensor].shape[axis] for tensor, axis, name in axes if isinstance(name, str)}

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise `ContractError` unless `inputs` have the names, dtypes, sizes and integers that the contract asks for.

        Floating numbers are not looked at: what is not finite goes in, and comes out as what is not finite.
        """
        # Event loops ask for one form again and again, and `check` is part of every call.
        arrays = [(name, a.dtype, a.shape) for name, a in inputs.items() if type(a) is np.ndarray]
        form = (self._dimensions_of, len(inputs), arrays)
        if form != self.__dict__.get("_passed"):
            self._check_form(inputs)
            self.__dict__["_passed"] = form
        for tensor in self.inputs:
            if tensor.below is not None:
                limit = self.sizes(inputs)[tensor.below] if isinstance(tensor.below, str) else tensor.below
                _check_integers(tensor.name, inputs[tensor.name], limit)

    def _check_form(self, inputs: Mapping[str, np.ndarray]) -> None:
        if inputs.keys() != self._dimensions_of.keys():
            expected = [tensor.name for tensor in self.inputs]
            raise ContractError(f"inputs are {sorted(inputs)}", f"the contract asks for {expected}")
        sizes: dict[str, int] = {}
        for tensor in self.inputs:
            self._check_tensor(tensor, inputs[tensor.name], sizes)

    def _check_tensor(self, tensor: Tensor, array: np.ndarray, sizes: dict[str, int]) -> None:
        if not isinstance(array, np.ndarray):
            raise ContractError(f"input '{tensor.name}' is a {type(array).__name__}", "give a NumPy array")
        if not _is_dtype(array.dtype, tensor.dtype):
            raise ContractError(f"input '{tensor.name}' is {array.dtype}", f"give it as {tensor.dtype}")
        dimensions = self._dimensions_of[tensor.name]
        if array.ndim != len(dimensions):
            raise ContractError(f"input '{tensor.name}' has shape {array.shape}", f"expected {tensor.shape}")
        for axis, (size, wanted) in enumerate(zip(array.shape, dimensions, strict=True)):
            if isinstance(wanted, int):
                if size != wanted:
                    raise ContractError(f"input '{tensor.name}', axis {axis} has size {size}", f"expected {wanted}")
                continue
            name, minimum, maximum = wanted
            remedy = None
            if not minimum <= size <= maximum:
                remedy = f"allowed: {minimum} to {maximum}"
            elif sizes.setdefault(name, size) != size:
                remedy = f"another input has {sizes[name]}"
            if remedy:
                raise ContractError(f"input '{tensor.name}', axis {axis} ('{name}') has size {size}", remedy)

    @property
    def _dimensions_of(self) -> Limits:
        """Each input's sizes, or their names and limits: looked up once, for `check` is part of every call."""
        known: tuple[Any, Any, Limits] | None = self.__dict__.get("_known")
        # A changed copy (`model_copy`) still has what the original looked up.
        if known is None or known[0] is not self.inputs or known[1] is not self.dimensions:
            known = (self.inputs, self.dimensions, self._looked_up())
            self.__dict__["_known"] = known
        return known[2]

    def _looked_up(self) -> Limits:
        limits = {d.name: (d.name, d.minimum, d.maximum) for d in self.dimensions}
        return {t.name: tuple(n if isinstance(n, int) else limits[n] for n in t.shape) for t in self.inputs}


@cache
def _is_dtype(dtype: np.dtype[Any], name: str) -> bool:
    return bool(dtype == name)


def _check_integers(name: str, array: np.ndarray, limit: int) -> None:
    """Compiled code would read before the start or past the end of what these count along, or count from its end."""
    if array.size and not (array.min() >= 0 and array.max() < limit):
        wrong = array[(array < 0) | (array >= limit)][0]
        raise ContractError(f"input '{name}' holds {wrong}", f"allowed: 0 to {limit - 1}")
