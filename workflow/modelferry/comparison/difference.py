"""Comparison of outputs: pure functions on arrays with one row an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from modelferry.comparison.outputs import by_event as by_event
from modelferry.comparison.outputs import within as within
from modelferry.core.tolerances import Tolerance

ILL_CONDITIONED = 10.0
"""An event is ill-conditioned if the float32 reference is off the float64 one by this many tolerances."""


@dataclass(frozen=True)
class Examination:
    """What the reference does with some events when their inputs change in their last places.

    Attributes
    ----------
    jumps, short_jumps
        What of a move's effect is out of proportion to that of a move a tenth as long, and the same for that shorter
        move, (directions, events, values), at least 0.
    noise
        Root-mean-square error of the float32 reference against float64 near the inputs, (events, values).
    """

    jumps: np.ndarray
    short_jumps: np.ndarray
    noise: np.ndarray

    def take(self, chosen: Sequence[int]) -> Examination:
        """Return what was found of some of the events."""
        return Examination(self.jumps[:, chosen], self.short_jumps[:, chosen], self.noise[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Examination]) -> Examination:
        """Return what was found of all events of some parts."""
        jumps, short_jumps = (
            np.concatenate(kind, axis=1) for kind in zip(*((p.jumps, p.short_jumps) for p in parts), strict=True)
        )
        return cls(jumps, short_jumps, np.concatenate([part.noise for part in parts]))


Examine = Callable[[np.ndarray], Examination]
"""Examines the events of some rows, (rows,)."""


@dataclass(frozen=True)
class Outputs:
    """One output of reference (float64 and float32) and artifact, (events, values) each; `examine` explains events."""

    float64: np.ndarray
    float32: np.ndarray
    artifact: np.ndarray
    examine: Examine | None = None

    def take(self, chosen: np.ndarray) -> Outputs:
        """Return the outputs of some events."""
        examine, rows = self.examine, np.arange(len(self.float64))[chosen]
        return Outputs(
            self.float64[rows],
            self.float32[rows],
            self.artifact[rows],
            None if examine is None else lambda asked: examine(rows[asked]),
        )


@dataclass(frozen=True)
class Difference:
    """How far an artifact is from the reference; NaN, and -1 ULP, where no row was compared.

    Attributes
    ----------
    max_abs, max_rel, max_ulps
        Largest difference from the float32 reference: absolute, relative to it, in units in the last place.
    error, reference_error
        Largest difference of artifact and float32 reference from the float64 reference.
    smallest_rtol, smallest_atol
        With the other one as it is, the smallest tolerance that would pass.
    """

    max_abs: float
    max_rel: float
    max_ulps: int
    error: float
    reference_error: float
    smallest_rtol: float
    smallest_atol: float

    @property
    def error_ratio(self) -> float:
        """The artifact's error over the float32 reference's own; 0 if both are exact."""
        if self.reference_error == 0:
            return 0.0 if self.error == 0 else float("inf")
        return self.error / self.reference_error


def same_where_not_finite(value: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return which rows have NaN and infinities in the same places as the reference, and nowhere else, (rows,)."""
    finite = np.isfinite(value) & np.isfinite(truth)
    same: np.ndarray = (finite | (value == truth) | (np.isnan(value) & np.isnan(truth))).all(axis=1)
    return same


def ill_conditioned(outputs: Outputs, tolerance: Tolerance) -> np.ndarray:
    """Return which events are ill-conditioned: their float32 reference departs from the float64 one, (events,)."""
    return ~within(outputs.float32, outputs.float64, tolerance, ILL_CONDITIONED)


def difference(outputs: Outputs, tolerance: Tolerance) -> Difference:
    """Return the largest differences over all events."""
    if not outputs.artifact.size:
        return Difference(np.nan, np.nan, -1, np.nan, np.nan, np.nan, np.nan)
    distance = np.abs(outputs.artifact.astype(np.float64) - outputs.float32)
    size = np.abs(outputs.float32.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(distance == 0, 0.0, distance / size)
        needed_rtol = np.where(distance <= tolerance.atol, 0.0, (distance - tolerance.atol) / size)
    return Difference(
        max_abs=_largest(distance),
        max_rel=_largest(relative),
        max_ulps=ulps(outputs.artifact, outputs.float32),
        error=_largest(np.abs(outputs.artifact - outputs.float64)),
        reference_error=_largest(np.abs(outputs.float32 - outputs.float64)),
        smallest_rtol=_largest(needed_rtol),
        smallest_atol=_largest(distance - tolerance.rtol * size),
    )


def ulps(value: np.ndarray, truth: np.ndarray) -> int:
    """Return the largest distance in units in the last place of float32; -1 if a value is not finite."""
    value, truth = value.astype(np.float32), truth.astype(np.float32)
    if not (np.isfinite(value).all() and np.isfinite(truth).all()):
        return -1
    return int(np.abs(_ordered(value) - _ordered(truth)).max(initial=0))


def _ordered(value: np.ndarray) -> np.ndarray:
    """Map floats to integers that count the representable numbers between them (Bruce Dawson's construction)."""
    bits = np.ascontiguousarray(value).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _largest(values: np.ndarray) -> float:
    """Return the largest value, at least 0; NaN counts as infinite."""
    return float(np.nan_to_num(values, nan=np.inf, posinf=np.inf).max(initial=0.0))


def shares(outputs: Outputs, tolerance: Tolerance) -> np.ndarray:
    """Return which share of the tolerance around the float32 reference each event uses, (events,)."""
    truth = outputs.float32.astype(np.float64)
    distance = np.abs(outputs.artifact - truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        share: np.ndarray = np.where(distance == 0, 0.0, distance / tolerance.allowed(truth))
    return np.nan_to_num(share, nan=np.inf).max(axis=1, initial=0)
