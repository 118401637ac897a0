"""The input contract: names, dtypes, named dimensions with ranges, features and units of a network's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from modelferry.core.errors import ContractError
from modelferry.core.notebook import table

Arrays = dict[str, np.ndarray]
"""Named arrays: the inputs or the outputs of one call of a network."""

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

    def __str__(self) -> str:
        """Show the name and the range."""
        return f"{self.name} {self.minimum} to {self.maximum}"


class Tensor(BaseModel):
    """One input or output.

    `shape` mixes fixed sizes with names of dimensions; `features` names the entries of the last axis, in order.
    `below` bounds the integers of an input, which go from 0 to less than it: a number, or the size of a dimension that
    they count along. Where no input has an axis of that dimension, it is the dimension's largest size. An input of
    floating point that is bounded so holds integers as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dtype: DType
    shape: tuple[int | str, ...]
    features: tuple[str, ...] = ()
    below: int | str | None = None
    unit: str = ""
    description: str = ""

    def __str__(self) -> str:
        """Show name, dtype and shape."""
        return f"{self.name} {self.dtype} ({', '.join(map(str, self.shape))})"


class Variable(BaseModel):
    """One channel of an input, made of a variable: ``clip((value − subtract) · multiply, low, high)``.

    It is the value itself if `subtract` is None. `pad` stands where there is no particle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    subtract: float | None
    multiply: float
    low: float
    high: float
    pad: float


class PreparedInput(BaseModel):
    """What an input is made of: `variables`, and `length` particles, filled up as `padding` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: tuple[Variable, ...]
    length: int | None
    padding: Literal["wrap", "constant"]


class Preparation(BaseModel):
    """How inputs are made of variables of particles, as a data card says it.

    Attributes
    ----------
    mask
        The input that says which particles are real; what others hold in the place of those that are not is ignored.
    order_by
        What particles are in rising order of, if they are to be sorted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[str, PreparedInput]
    labels: tuple[str, ...]
    mask: str
    order_by: str = ""


Scores = Literal["softmax", "sigmoid", "nothing"]

SCORES_OUTPUT = "scores"
"""What scores are called that an artifact makes."""
LOGITS = "the output is logits: apply softmax for scores"
"""A note of contracts, where it is so."""


class Scored(BaseModel):
    """An output of the network, and what makes scores of it inside an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    by: Scores


class Contract(BaseModel):
    """What may be fed to an artifact, in which order, and what comes back.

    `scores` is what makes scores of the first output's values: a softmax over the classes, a sigmoid, or nothing.
    `scored` says what was done already, where the first output is scores that an artifact has made of the network's.
    `destination` is what the contract was changed for; `preparation` says what inputs are made of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layout: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dimensions: tuple[Dimension, ...]
    classes: tuple[str, ...] = ()
    scores: Scores = "softmax"
    notes: tuple[str, ...] = ()
    scored: Scored | None = None
    destination: str = ""
    preparation: Preparation | None = None

    @model_validator(mode="after")
    def _names_known(self) -> Contract:
        known = {dimension.name for dimension in self.dimensions}
        for tensor in (*self.inputs, *self.outputs):
            for name in (*tensor.shape, tensor.below):
                if isinstance(name, str) and name not in known:
                    remedy = f"declare Dimension(name='{name}', minimum=…, typical=…, maximum=…)"
                    raise ContractError(f"'{tensor.name}' has a size '{name}', which is no dimension", remedy)
        return self

    def __str__(self) -> str:
        """Show inputs, outputs and ranges on one line."""
        names = [", ".join(map(str, tensors)) for tensors in (self.inputs, self.outputs)]
        ranges = "".join(f"; {dimension}" for dimension in self.dimensions)
        return f"{' → '.join(names)}{ranges}"

    def __repr__(self) -> str:
        """Show the layout too."""
        return f"<Contract {self.layout}: {self}>"

    def _repr_html_(self) -> str:
        """Show tensors with all that is known of them, in a notebook."""
        tensors = [*(("input", t) for t in self.inputs), *(("output", t) for t in self.outputs)]
        rows = [
            (role, t.name, t.dtype, " × ".join(map(str, t.shape)), t.unit, ", ".join(t.features), t.description)
            for role, t in tensors
        ]
        ranges = [
            f"{d}, typically {d.typical}" + (f": {d.description}" if d.description else "") for d in self.dimensions
        ]
        classes = [f"classes: {', '.join(self.classes)}"] if self.classes else []
        header = ("", "name", "dtype", "shape", "unit", "features", "description")
        return table(f"Contract of layout {self.layout}", header, rows, [*ranges, *classes, *self.notes])

    def dimension(self, name: str) -> Dimension:
        """Return the dimension called `name`; raise `ContractError` if there is none."""
        found = next((d for d in self.dimensions if d.name == name), None)
        if found is None:
            known = ", ".join(d.name for d in self.dimensions) or "none"
            remedy = f"it has {known}; a family says by `batch` which of them counts events, and by `sizes` which vary"
            raise ContractError(f"the contract of layout {self.layout} has no dimension '{name}'", remedy)
        return found

    @property
    def form(self) -> str:
        """The layout, and what it was changed for."""
        return f"{self.layout} for {self.destination}" if self.destination else self.layout

    def cast(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Return inputs in the types of the contract; others than its own stay as they are."""
        dtypes = {tensor.name: tensor.dtype for tensor in self.inputs}
        return {name: array.astype(dtypes.get(name, array.dtype), copy=False) for name, array in inputs.items()}

    def with_scores(self) -> Contract:
        """Return the contract of an artifact whose first output is scores."""
        if self.scores == "nothing":
            return self
        first, *others = self.outputs
        scores = first.model_copy(update={"name": SCORES_OUTPUT, "features": self.classes or first.features})
        inside = f"the first output is scores: a {self.scores} is applied inside"
        return self.model_copy(
            update={
                "outputs": (scores, *others),
                "scores": "nothing",
                "scored": Scored(output=first.name, by=self.scores),
                "notes": (*(note for note in self.notes if note != LOGITS), inside),
            }
        )

    def sizes(self, inputs: Mapping[str, np.ndarray]) -> dict[str, int]:
        """Return the sizes of the dimensions that `inputs` have axes of."""
        axes = [(tensor.name, axis, name) for tensor in self.inputs for axis, name in enumerate(tensor.shape)]
        return {name: inputs[tensor].shape[axis] for tensor, axis, name in axes if isinstance(name, str)}

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise `ContractError` unless `inputs` have the names, dtypes, sizes and integers that the contract asks for.

        Floating numbers are not looked at: what is not finite goes in, and comes out as what is not finite.
        """
        self._check(inputs)

    def allows(self, inputs: Mapping[str, np.ndarray]) -> bool:
        """Return whether `check` accepts inputs."""
        try:
            self.check(inputs)
        except ContractError:
            return False
        return True

    @cached_property
    def _check(self) -> InputCheck:
        return InputCheck(self.inputs, self.dimensions)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Contract:
        """Return a copy with some fields changed, and a check of its own: `BaseModel` copies cached properties."""
        copied = super().model_copy(update=update, deep=deep)
        vars(copied).pop("_check", None)
        return copied


class InputCheck:
    """The check of a call's inputs. It is part of every call, so what a contract says is looked up once."""

    def __init__(self, inputs: Sequence[Tensor], dimensions: Sequence[Dimension]) -> None:
        limits = {d.name: (d.name, d.minimum, d.maximum) for d in dimensions}
        axes = {size: (t.name, axis) for t in inputs for axis, size in enumerate(t.shape)}
        self.inputs = tuple(inputs)
        self.limits = {t.name: tuple(s if isinstance(s, int) else limits[s] for s in t.shape) for t in inputs}
        self.below = [
            (t.name, axes.get(t.below, limits[t.below][2]) if isinstance(t.below, str) else t.below)
            for t in inputs
            if t.below is not None
        ]
        self.last: list[tuple[str, np.dtype[Any], tuple[int, ...]]] | None = None
        """Names, dtypes and shapes of the last call's inputs: event loops ask for the same again and again."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise `ContractError` for the first thing that is wrong with `inputs`."""
        form = [(name, a.dtype, a.shape) for name, a in inputs.items() if type(a) is np.ndarray]
        if form != self.last or len(form) != len(inputs):
            self._check_form(inputs)
            self.last = form
        for name, below in self.below:
            limit = below if isinstance(below, int) else inputs[below[0]].shape[below[1]]
            _check_integers(name, inputs[name], limit)

    def _check_form(self, inputs: Mapping[str, np.ndarray]) -> None:
        if inputs.keys() != self.limits.keys():
            raise ContractError(f"inputs are {sorted(inputs)}", f"the contract asks for {[*self.limits]}")
        sizes: dict[str, int] = {}
        for tensor in self.inputs:
            self._check_tensor(tensor, inputs[tensor.name], sizes)

    def _check_tensor(self, tensor: Tensor, array: np.ndarray, sizes: dict[str, int]) -> None:
        if not isinstance(array, np.ndarray):
            raise ContractError(f"input '{tensor.name}' is a {type(array).__name__}", "give a NumPy array")
        if not _is_dtype(array.dtype, tensor.dtype):
            raise ContractError(f"input '{tensor.name}' is {array.dtype}", f"give it as {tensor.dtype}")
        limits = self.limits[tensor.name]
        if array.ndim != len(limits):
            raise ContractError(f"input '{tensor.name}' has shape {array.shape}", f"expected {tensor.shape}")
        for axis, (size, wanted) in enumerate(zip(array.shape, limits, strict=True)):
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


@cache
def _is_dtype(dtype: np.dtype[Any], name: str) -> bool:
    return bool(dtype == name)


def _check_integers(name: str, array: np.ndarray, limit: int) -> None:
    """Compiled code would read before the start or past the end of what these count along, or count from its end."""
    whole = array.dtype.kind != "f" or bool((array == np.floor(array)).all())
    if array.size and not (whole and array.min() >= 0 and array.max() < limit):
        wrong = array[~((array >= 0) & (array < limit) & (array == np.floor(array)))][0]
        raise ContractError(f"input '{name}' holds {wrong}", f"allowed: 0 to {limit - 1}")
