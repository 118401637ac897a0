"""Comparison of outputs: pure functions on arrays with one row an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelferry.comparison.outputs import by_event as by_event
from modelferry.comparison.outputs import within as within
from modelferry.core.tolerances import Tolerance

ILL_CONDITIONED = 10.0
"""An event is ill-conditioned if the float32 reference is off the float64 one by this many tolerances."""


@dataclass(frozen=True)
class Outputs:
    """One output of reference (float64 and float32) and artifact, (events, values) each.

    `perturbed` is `float32` as it jumps when inputs change in their last places, (repetitions, events, values);
    `perturbed_less` as it jumps when they change by a tenth of that, if that was measured.
    """

    float64: np.ndarray
    float32: np.ndarray
    artifact: np.ndarray
    perturbed: np.ndarray | None = None
    perturbed_less: np.ndarray | None = None

    def take(self, chosen: np.ndarray) -> Outputs:
        """Return the outputs of some events, without the perturbed ones."""
        return Outputs(self.float64[chosen], self.float32[chosen], self.artifact[chosen])


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


def unstable(outputs: Outputs, tolerance: Tolerance) -> np.ndarray:
    """Return which events would be ill-conditioned if their inputs differed in the last places: they jump, (events,).

    Where a neighbour or a maximum is decided by rounding, another order of sums decides otherwise and is not wrong.
    """
    return _jumps(outputs.perturbed, outputs, tolerance)


def decided_by_rounding(outputs: Outputs, tolerance: Tolerance) -> np.ndarray:
    """Return which events are unstable with a tenth of the perturbation too: their jumps do not shrink, (events,)."""
    perturbed = outputs.perturbed if outputs.perturbed_less is None else outputs.perturbed_less
    return _jumps(perturbed, outputs, tolerance)


def _jumps(perturbed: np.ndarray | None, outputs: Outputs, tolerance: Tolerance) -> np.ndarray:
    if perturbed is None or not len(perturbed):
        return np.zeros(len(outputs.float32), dtype=bool)
    return ~np.all([within(jump, outputs.float64, tolerance, ILL_CONDITIONED) for jump in perturbed], axis=0)


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


ERROR_RATIO = 2.0
"""How much larger than the float32 reference's own error the artifact's may be."""


def shares(outputs: Outputs, tolerance: Tolerance, own_error: float | None) -> np.ndarray:
    """Return which share of the allowed difference each event uses, (events,).

    All are at most 1 unless the artifact `departs`. Allowed is the tolerance around the float32 reference or, if that
    fails and this fails less, twice `own_error` around float64, unless that is None.
    """
    truth = outputs.float32.astype(np.float64)
    used = _share(np.abs(outputs.artifact - truth), tolerance.atol + tolerance.rtol * np.abs(truth))
    if own_error is None or used.max(initial=0) <= 1:
        return used
    by_error = _share(np.abs(outputs.artifact - outputs.float64), np.full(truth.shape, ERROR_RATIO * own_error))
    return min(used, by_error, key=lambda share: share.max(initial=0))


def _share(distance: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        share: np.ndarray = np.where(distance == 0, 0.0, distance / allowed)
    return np.nan_to_num(share, nan=np.inf).max(axis=1, initial=0)


def departs(outputs: Outputs, tolerance: Tolerance, own_error: float) -> bool:
    """Return whether an artifact is not the trained function on these events.

    It is not if it neither agrees with the float32 reference within `tolerance`, nor is at most twice as far from
    float64 as `own_error`, the float32 reference's own largest error.
    """
    if within(outputs.artifact, outputs.float32, tolerance).all():
        return False
    error = np.abs(outputs.artifact - outputs.float64)
    return not bool((error <= ERROR_RATIO * own_error).all())
