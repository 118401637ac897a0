"""How far an artifact is from the reference event by event, small enough for a record: artifacts are compared by it.

The difference of two artifacts is the difference of their differences from the same reference, so one column each
suffices for a matrix of all pairs.
"""

from __future__ import annotations

import base64
import zlib

import numpy as np

from modelferry.records.validation import Residuals

VALUES = 4096
"""Of more outputs, evenly spread events are kept: of 4 classes 1,024 events."""
DTYPE = np.dtype("<f4")


def pack(differences: np.ndarray, events: np.ndarray, total: int) -> Residuals:
    """Return the differences of the outputs (n, values) of n `events` of `total`, given by their numbers (n,).

    Artifacts of other layouts may have been tried on other events of the same recording: those of both are compared.
    """
    rows = np.full((total, *differences.shape[1:]), np.nan).reshape(total, -1)
    rows[events] = differences.reshape(len(events), rows.shape[1])
    kept = min(total, max(1, VALUES // max(1, rows.shape[1])))
    chosen = np.unique(np.linspace(0, total - 1, kept).astype(int)) if total else np.empty(0, int)
    rows = rows[chosen]
    text = base64.b64encode(zlib.compress(rows.astype(DTYPE).tobytes(), 9)).decode()
    return Residuals(events=len(rows), values=rows.shape[1], differences=text)


def differences(packed: Residuals) -> np.ndarray:
    """Return the kept differences (events, values), NaN where an event was left out."""
    rows = np.frombuffer(zlib.decompress(base64.b64decode(packed.differences)), DTYPE)
    return rows.reshape(packed.events, packed.values)


def largest_difference(first: Residuals, second: Residuals) -> float | None:
    """Return the largest difference between two artifacts; None if their events are not the same."""
    if (first.events, first.values) != (second.events, second.values):
        return None
    between = np.abs(differences(first).astype(np.float64) - differences(second))
    return float(np.nanmax(between, initial=0.0)) if between.size else 0.0
