"""Columns of jets: one number a jet, or one a particle, all particles of all jets in one flat array.

Everything is computed in float32, as weaver does: in float64 the features would differ in their last places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelferry.core.errors import EventFileError


@dataclass(frozen=True)
class Jagged:
    """A number for each particle: those of all jets, (particles of all jets,), and how many each jet has, (jets,)."""

    values: np.ndarray
    counts: np.ndarray


Column = Any
"""What is given as a column: a NumPy array (jets,), a `Jagged`, or an awkward array of either shape."""
Value = np.ndarray | Jagged
"""A column in memory, float32; what is computed from it may be of another type."""


def as_columns(columns: Mapping[str, Column], names: tuple[str, ...]) -> dict[str, Value]:
    """Return the columns called `names` as float32; those of particles share one array of counts.

    Raises
    ------
    EventFileError
        If one is missing, holds something else than numbers, or has another number of jets or particles.
    """
    missing = [name for name in names if name not in columns]
    if missing:
        raise EventFileError(f"no column {', '.join(missing)}", "the data card needs it")
    values = {name: _as_value(name, columns[name]) for name in names}
    lengths = {name: len(v.counts) if isinstance(v, Jagged) else len(v) for name, v in values.items()}
    if len(set(lengths.values())) > 1:
        raise EventFileError(f"columns have different numbers of jets: {lengths}", "is the file complete?")
    jagged = {name: value for name, value in values.items() if isinstance(value, Jagged)}
    if not jagged:
        return values
    first, shared = next(iter(jagged.items()))
    for name, value in jagged.items():
        if not np.array_equal(value.counts, shared.counts):
            jet = int(np.flatnonzero(value.counts != shared.counts)[0])
            facts = f"{value.counts[jet]} particles in jet {jet}, and {first} {shared.counts[jet]}"
            raise EventFileError(f"{name} has {facts}", "the columns of particles must agree")
        values[name] = Jagged(value.values, shared.counts)
    return values


def _as_value(name: str, column: Column) -> Value:
    if isinstance(column, Jagged):
        return Jagged(np.asarray(column.values, np.float32), np.asarray(column.counts, np.int64))
    if isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in "fiub":
        return column.astype(np.float32, copy=False)
    import awkward as ak

    array = ak.Array(column)
    try:
        if array.ndim == 1:
            return ak.to_numpy(array, allow_missing=False).astype(np.float32, copy=False)
        counts = ak.to_numpy(ak.num(array), allow_missing=False).astype(np.int64, copy=False)
        return Jagged(ak.to_numpy(ak.flatten(array), allow_missing=False).astype(np.float32, copy=False), counts)
    except (ValueError, TypeError) as error:
        wanted = "one number a jet or a list of numbers a jet is needed"
        raise EventFileError(f"column {name} is {array.type}", wanted) from error
