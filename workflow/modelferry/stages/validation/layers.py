"""Two networks compared layer by layer, by the names of their modules."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.formats.shared.runner import INPUT


@dataclass(frozen=True)
class LayerComparison:
    """What a comparison layer by layer found.

    Attributes
    ----------
    compared
        Places that were compared, in the order in which they are computed.
    first
        The first of them that departs; empty if none does.
    before
        The last one before it, which agrees; empty if there is none.
    difference, size
        Largest difference at the first place, and the largest value there.
    skipped
        Places of the same name that have another number of values.
    """

    compared: tuple[str, ...]
    first: str
    before: str
    difference: float
    size: float
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{len(self.compared)} places compared"
        text += f", {len(self.skipped)} of another size left out" if self.skipped else ""
        if not self.compared:
            return f"no place could be compared ({len(self.skipped)} of another size)"
        if not self.first:
            return f"{text}: none departs"
        after = f"; {_in_words(self.before)} before it agrees" if self.before else ""
        size = f"{self.difference:.2g} of {self.size:.2g}"
        return f"{text}: the first to depart is {_in_words(self.first)}, by {size}{after}"


def _in_words(value: str) -> str:
    """Return in words what goes into or comes out of a module."""
    name = value.removesuffix(INPUT)
    return f"the {'input' if value != name else 'output'} of '{name}'"


def compare_layers(truth: Arrays, values: Arrays, rtol: float, without: Collection[str] = ()) -> LayerComparison:
    """Compare the layers that both have, in the order of `truth`.

    A place departs if it differs by more than `rtol` of its largest value. Rows may come in another order (edges have
    none), so each column is sorted first: that never makes a difference larger.
    """
    shared = [name for name in truth if name in values and name.removesuffix(INPUT) not in without]
    same = [name for name in shared if _rows(truth[name]).shape == _rows(values[name]).shape]
    skipped = tuple(name for name in shared if name not in same)
    for number, name in enumerate(same):
        wanted, given = _rows(truth[name]), _rows(values[name])
        if not wanted.size:
            continue
        difference = float(np.nan_to_num(np.abs(wanted - given), nan=np.inf).max())
        size = float(np.abs(wanted).max())
        if difference > rtol * max(size, rtol):
            before = same[number - 1] if number else ""
            return LayerComparison(tuple(same), name, before, difference, size, skipped)
    return LayerComparison(tuple(same), "", "", 0.0, 0.0, skipped)


def _rows(values: np.ndarray) -> np.ndarray:
    """Return values as rows of the last axis, each column sorted."""
    table = values.astype(np.float64).reshape(-1, values.shape[-1] if values.ndim else 1)
    return np.sort(table, axis=0)
