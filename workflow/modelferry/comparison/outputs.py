"""Outputs as rows, one an event, and whether they agree: what evaluation and benchmarks need of the comparison."""

from __future__ import annotations

import math

import numpy as np

from modelferry.core.tolerances import Tolerance


def by_event(values: np.ndarray) -> np.ndarray:
    """Return an output as one row an event, (events, values): maps and boxes are laid out flat, a number is a row.

    What is bfloat16 becomes float32, which holds it exactly: NumPy has no such type of its own, and cannot save it.
    """
    values = values.astype(np.float32) if values.dtype.kind == "V" else values
    return values.reshape(len(values), math.prod(values.shape[1:]))


def within(value: np.ndarray, truth: np.ndarray, tolerance: Tolerance, factor: float = 1.0) -> np.ndarray:
    """Return which events agree in all their values, (events,); NaN agrees with nothing."""
    value, truth = value.astype(np.float64), truth.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.all(np.abs(value - truth) <= factor * tolerance.allowed(truth), axis=1)
