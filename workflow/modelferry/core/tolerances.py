"""The one table of tolerances: what an artifact may differ by, by its format and the type of its outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from modelferry.core.contract import DType
from modelferry.core.errors import ArgumentError
from modelferry.core.model import Part


class Tolerance(Part):
    """An output passes where ``|artifact - reference| <= atol + rtol * |reference|``."""

    rtol: float = 1e-5
    atol: float = 1e-6

    def allowed(self, reference: np.ndarray) -> np.ndarray:
        """Return by how much outputs may differ from the reference's, of the same shape."""
        allowed: np.ndarray = self.atol + self.rtol * np.abs(reference.astype(np.float64))
        return allowed


BULK, TAIL = 5.0, 12.0
"""The root-mean-square and the largest error of an artifact against float64, in units of the float32 reference's own.

Where these are known, they decide (`comparison.calibration`), and the tolerance only counts if it was asked for.
"""

ANY = "any"

TABLE: Mapping[tuple[str, DType], Tolerance] = {
    (ANY, "float64"): Tolerance(rtol=1e-10, atol=1e-12),
    (ANY, "float32"): Tolerance(rtol=1e-5, atol=1e-6),
    (ANY, "bfloat16"): Tolerance(rtol=1e-2, atol=1e-2),
    (ANY, "int64"): Tolerance(rtol=0, atol=0),
    (ANY, "int32"): Tolerance(rtol=0, atol=0),
    (ANY, "uint8"): Tolerance(rtol=0, atol=0),
    (ANY, "bool"): Tolerance(rtol=0, atol=0),
}
"""A row for a format goes before the one for any. A campaign's config may overrule both (`validation:`)."""


def tolerance_of(format_name: str, dtype: DType) -> Tolerance:
    """Return the tolerance of a format's outputs of one type."""
    return TABLE.get((format_name, dtype), TABLE[ANY, dtype])


def loosest(format_names: Collection[str], dtypes: Collection[str]) -> Tolerance:
    """Return the widest tolerance of some formats and types of one output; raise `ArgumentError` if none has any."""
    found = [
        tolerance
        for (name, dtype), tolerance in TABLE.items()
        if dtype in dtypes and (name in format_names or (name == ANY and _needed(format_names, dtype)))
    ]
    if not found:
        kinds = " and ".join(sorted(dtypes))
        raise ArgumentError(f"there is no tolerance for outputs of {kinds}", "give rtol and atol")
    return Tolerance(rtol=max(entry.rtol for entry in found), atol=max(entry.atol for entry in found))


def _needed(format_names: Collection[str], dtype: str) -> bool:
    return not format_names or any((name, dtype) not in TABLE for name in format_names)
