"""A contract that a config declares, for networks of which nothing else tells it; with events drawn from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from modelferry.core.contract import Arrays, Contract, Dimension, DType, Tensor
from modelferry.core.digests import canonical_json
from modelferry.core.errors import ConfigError, EventFileError
from modelferry.core.events import UNKNOWN, EventSet, join
from modelferry.families.shared.npz_file import read_npz

LABELS, WEIGHTS = "labels", "weights"
"""Arrays of an event file that are no inputs."""
SPARSE = 0.5
"""Share of true values of a boolean input."""

Shape = tuple[int | str, ...]


class Declared(BaseModel):
    """A part of the declaration."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DeclaredTensor(Declared):
    """An input or output; a list alone is its shape.

    `values` are the smallest and largest of the synthetic values of an input, which are drawn evenly; without it they
    are drawn from a normal distribution. `below` bounds integers, as in the contract.
    """

    shape: Shape
    dtype: DType = "float32"
    features: tuple[str, ...] = ()
    values: tuple[float, float] | None = None
    below: int | str | None = None
    unit: str = ""
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_shape(cls, data: Any) -> Any:
        return {"shape": data} if isinstance(data, list | tuple) else data


class DeclaredDimension(Declared):
    """The range of a named size; three numbers alone are its smallest, typical and largest value."""

    minimum: int = 1
    typical: int = 16
    maximum: int = 256
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_numbers(cls, data: Any) -> Any:
        if isinstance(data, list | tuple) and len(data) == 3:
            return dict(zip(("minimum", "typical", "maximum"), data, strict=True))
        return data

    @model_validator(mode="after")
    def _ordered(self) -> DeclaredDimension:
        if not self.minimum <= self.typical <= self.maximum:
            raise ValueError(f"{self.minimum}, {self.typical}, {self.maximum}: give smallest, typical, largest")
        if self.typical < 2 <= self.maximum:
            raise ValueError("the typical size must be at least 2: exporters take 1 for a constant")
        return self


class Declaration(Declared):
    """Inputs, outputs and the sizes that they name; the first axis of each is the number of events of a call.

    By the other named sizes events may differ. In a call, inputs of smaller events are filled up with zeros: what the
    network makes of them is its own affair.
    """

    inputs: dict[str, DeclaredTensor] = Field(min_length=1)
    outputs: dict[str, DeclaredTensor] = Field(min_length=1)
    dimensions: dict[str, DeclaredDimension] = Field(default_factory=dict)
    classes: tuple[str, ...] = ()
    scores: Literal["softmax", "sigmoid", "nothing"] | None = None

    @field_validator("inputs", "outputs", mode="before")
    @classmethod
    def _from_list(cls, data: Any) -> Any:
        """Take a list of tensors with their names as well: order is that of `forward`, and JSON objects have none."""
        if isinstance(data, list) and all(isinstance(entry, Mapping) and "name" in entry for entry in data):
            return {entry["name"]: {key: value for key, value in entry.items() if key != "name"} for entry in data}
        return data

    @field_validator("inputs")
    @classmethod
    def _integers_bounded(cls, inputs: dict[str, DeclaredTensor]) -> dict[str, DeclaredTensor]:
        for name, tensor in inputs.items():
            if tensor.dtype == "bfloat16":
                raise ValueError(f"'{name}' is bfloat16; feed float32, and convert in `forward`")
            if tensor.dtype.startswith("int") and tensor.below is None:
                raise ValueError(f"'{name}' is of integers; say below which number they are: {{below: 100}}")
        return inputs

    @model_validator(mode="after")
    def _sizes_known(self) -> Declaration:
        firsts = {tensor.shape[0] if tensor.shape else 0 for tensor in (*self.inputs.values(), *self.outputs.values())}
        if len(firsts) != 1 or not all(isinstance(size, str) for size in firsts):
            raise ValueError("the first axis of every input and output must be one named size: the events of a call")
        for name, tensor in self.outputs.items():
            if any(isinstance(size, str) for size in tensor.shape[1:]):
                raise ValueError(f"output '{name}' has a named size beside '{self.batch}'; give it a number")
        unknown = self.dimensions.keys() - {self.batch, *self.sizes}
        if unknown:
            raise ValueError(f"no input has an axis '{sorted(unknown)[0]}'")
        return self

    @property
    def batch(self) -> str:
        """The size that counts the events of a call."""
        return str(next(iter(self.inputs.values())).shape[0])

    @property
    def sizes(self) -> tuple[str, ...]:
        """The named sizes by which events differ."""
        sizes = [size for tensor in self.inputs.values() for size in tensor.shape[1:] if isinstance(size, str)]
        return tuple(dict.fromkeys(size for size in sizes if size != self.batch))

    def contract(self, layout: str) -> Contract:
        """Return the contract."""
        dimensions = {name: self.dimensions.get(name, DeclaredDimension()) for name in (*self.sizes, self.batch)}
        return Contract(
            layout=layout,
            inputs=tuple(_tensor(name, tensor) for name, tensor in self.inputs.items()),
            outputs=tuple(_tensor(name, tensor) for name, tensor in self.outputs.items()),
            dimensions=tuple(Dimension(name=name, **d.model_dump()) for name, d in dimensions.items()),
            classes=self.classes,
            scores=self.scores or ("softmax" if self.classes else "nothing"),
            notes=tuple(f"events with fewer {name} than others of a call are filled up with 0" for name in self.sizes),
        )

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return ``dims[batch]`` events with values as declared."""
        rng = np.random.default_rng(seed)
        return [
            {name: _values(rng, tensor, dims) for name, tensor in self.inputs.items()} for _ in range(dims[self.batch])
        ]

    def example(self) -> Arrays:
        """Return the inputs of a call of typical size."""
        sizes = {dimension.name: dimension.typical for dimension in self.contract("").dimensions}
        return self.collate(self.sample(sizes, seed=0))

    def collate(self, events: Sequence[Arrays]) -> Arrays:
        """Join events, zeros behind the ends of those that are smaller than the largest."""
        inputs = {}
        for name, tensor in self.inputs.items():
            arrays = [event[name] for event in events]
            largest = [max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True)]
            whole = np.zeros((len(arrays), *largest), tensor.dtype)
            for row, array in zip(whole, arrays, strict=True):
                row[tuple(slice(size) for size in array.shape)] = array
            inputs[name] = whole
        return inputs

    def read_events(self, paths: Sequence[Path], limit: int) -> EventSet:
        """Return at most `limit` events of ``.npz`` files that have an array for each input, one entry an event.

        An array `labels` holds the class of each event, and `weights` its weight.
        """
        sets: list[EventSet] = []
        for path in paths:
            arrays = _read(path, self.inputs)
            count = min(limit - sum(len(part) for part in sets), *(len(arrays[name]) for name in self.inputs))
            events = [{name: arrays[name][row] for name in self.inputs} for row in range(count)]
            labels = arrays[LABELS][:count] if LABELS in arrays else np.full(count, UNKNOWN)
            weights = arrays[WEIGHTS][:count] if WEIGHTS in arrays else np.ones(count)
            sets.append(EventSet(events, labels.astype(np.int64), weights, str(path)))
        return join(sets)


def in_order(tensors: Any) -> Any:
    """Return declared tensors as a list, in which they keep their order wherever they go."""
    if not isinstance(tensors, Mapping):
        return tensors
    complete = {name: data if isinstance(data, Mapping) else {"shape": data} for name, data in tensors.items()}
    return [{"name": name, **data} for name, data in complete.items()]


def declaration(hyperparameters: Mapping[str, Any]) -> Declaration:
    """Return what hyperparameters declare; raise `ConfigError` for what is none."""
    return _declaration(canonical_json({name: hyperparameters[name] for name in Declaration.model_fields}))


@cache
def _declaration(text: str) -> Declaration:
    try:
        return Declaration.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("hyperparameters", *first["loc"])))
        raise ConfigError(f"{key}: {first['msg'].removeprefix('Value error, ')}", "see docs/lightning.md") from None


def _tensor(name: str, declared: DeclaredTensor) -> Tensor:
    return Tensor(name=name, **declared.model_dump(exclude={"values"}))


def _values(rng: np.random.Generator, tensor: DeclaredTensor, dims: Mapping[str, int]) -> np.ndarray:
    shape = tuple(dims[size] if isinstance(size, str) else size for size in tensor.shape[1:])
    if tensor.dtype == "bool":
        return rng.random(shape) < SPARSE
    if tensor.dtype in ("uint8", "int32", "int64"):
        below = dims[tensor.below] if isinstance(tensor.below, str) else tensor.below or 256
        return rng.integers(below, size=shape).astype(tensor.dtype)
    drawn = rng.normal(size=shape) if tensor.values is None else rng.uniform(*tensor.values, size=shape)
    return drawn.astype(np.float64 if tensor.dtype == "float64" else np.float32)


def _read(path: Path, inputs: Mapping[str, DeclaredTensor]) -> Arrays:
    arrays = read_npz(path)
    for name, tensor in inputs.items():
        if name not in arrays:
            raise EventFileError(f"{path} has no array '{name}'", f"it has {', '.join(sorted(arrays)) or 'none'}")
        array, wanted = arrays[name], tensor.shape
        fixed = [(a, b) for a, b in zip(array.shape, wanted, strict=False) if isinstance(b, int)]
        if array.ndim != len(wanted) or any(a != b for a, b in fixed) or array.dtype != tensor.dtype:
            given = f"{array.dtype} {array.shape}"
            raise EventFileError(f"{path}: '{name}' is {given}", f"expected {tensor.dtype} {wanted}")
    return arrays
