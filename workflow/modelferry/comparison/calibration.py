"""The calibrated rule: whether the errors of an artifact are those that the float32 reference itself makes.

Errors are measured against float64, in units of the reference's own root-mean-square error, value by value. A right
artifact rounds otherwise than the reference, but no worse: its errors are as large on the whole (`BULK`), and none
stands out (`TAIL`), unless the reference has such errors near that very event, or a tie decides there.
`bench/verdict.py` measures how often that is wrong, and docs/validation.md has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelferry.comparison.difference import ILL_CONDITIONED, Outputs, ill_conditioned
from modelferry.core.tolerances import TAIL, Tolerance

TIE = 2.0
"""An error is explained by a small jump of the event's outputs if it is at most this many times as large."""
EXAMINED = 8
"""This many events with large errors are examined where one that is not explained suffices."""
UNIT = 2.0**-24
"""Half a unit in the last place of a float32 of size 1: an error that nobody can avoid in numbers about as large.

Nor in a probability near 0, which runtimes compute from numbers near 1.
"""


@dataclass(frozen=True)
class Calibration:
    """The scale of the float32 reference's own errors, and which events it is not taken from.

    Attributes
    ----------
    scale
        Root-mean-square error of each value, (values,); never less than the rounding of the value itself.
    ill
        Which events are not compared: the float32 reference departs from float64, or is not finite, (events,).
    jump
        Outputs that jump by so much, (events, values), are at a tie.
    """

    scale: np.ndarray
    ill: np.ndarray
    jump: np.ndarray

    @classmethod
    def of(cls, outputs: Outputs, tolerance: Tolerance, distinct: np.ndarray, typical: bool = True) -> Calibration:
        """Calibrate on all well-conditioned events; rows with the same number in `distinct` are the same event.

        If their own errors are not `typical`, an error may also be twice the largest of them.
        """
        ill = np.isin(distinct, distinct[ill_conditioned(outputs, tolerance)])
        return cls(_scale(outputs.take(~ill), typical), ill, ILL_CONDITIONED * tolerance.allowed(outputs.float64))

    @classmethod
    def on_values(cls, outputs: Outputs) -> Calibration:
        """Calibrate on single values, of any sizes."""
        jump = np.full(outputs.float64.shape, np.inf)
        return cls(_scale(outputs, typical=False), np.zeros(len(outputs.float64), bool), jump)

    def agrees(self, outputs: Outputs) -> np.ndarray:
        """Return which events have no error that needs an explanation, (events,)."""
        agrees: np.ndarray = self.errors(outputs).max(axis=1, initial=0) <= TAIL
        return agrees

    def errors(self, outputs: Outputs) -> np.ndarray:
        """Return the errors of an artifact in units of the scale, (events, values); 0 where there is no error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(outputs.artifact.astype(np.float64) - outputs.float64)
            scaled: np.ndarray = np.where(error == 0, 0.0, error / self.scale)
        return np.nan_to_num(scaled, nan=np.inf)


def _scale(outputs: Outputs, typical: bool) -> np.ndarray:
    error = outputs.float32.astype(np.float64) - outputs.float64
    own, size = _root_mean_square(error), _root_mean_square(outputs.float64)
    if not typical:
        own = np.maximum(own, 2 / TAIL * np.abs(error).max(axis=0, initial=0))
    shares = ((outputs.float64 >= 0) & (outputs.float64 <= 1)).all(axis=0)
    return np.maximum(own, UNIT * np.where(shares, 1.0, size))


def bulk(errors: np.ndarray) -> float:
    """Return the largest root mean square of (events, values) of scaled errors; one event counts for `TAIL` at most."""
    return float(_root_mean_square(np.minimum(errors, TAIL)).max(initial=0))


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """Return the root mean square over events, (values,); 0 of no events."""
    if not len(values):
        return np.zeros(values.shape[1])
    result: np.ndarray = np.sqrt(np.mean(np.square(values.astype(np.float64)), axis=0))
    return result


@dataclass(frozen=True)
class Explanation:
    """Which events with large errors are explained, (events,) each; all others have errors that need no explanation.

    Attributes
    ----------
    tied, decided
        By a tie near the event, and by one so near that the jump does not shrink with the move: rounding decides it.
    noisy
        By the error that the reference itself makes there.
    """

    tied: np.ndarray
    decided: np.ndarray
    noisy: np.ndarray


def departs(outputs: Outputs, calibration: Calibration, large: np.ndarray) -> bool:
    """Return whether one of a few events with `large` errors, (events,), has one that nothing explains."""
    rows = np.flatnonzero(large)[:EXAMINED]
    explained = explain(outputs, calibration, rows)
    return bool((~explained.tied & ~explained.noisy)[rows].any())


def explain(outputs: Outputs, calibration: Calibration, rows: np.ndarray) -> Explanation:
    """Examine the events of some rows, (rows,), if they can be examined."""
    explanation = Explanation(*np.zeros((3, len(outputs.float64)), bool))
    if outputs.examine is None or not len(rows):
        return explanation
    found, part = outputs.examine(rows), outputs.take(rows)
    error = np.abs(part.artifact.astype(np.float64) - part.float64)
    noisy = (found.noise / np.maximum(calibration.scale, np.finfo(np.float64).tiny)).max(axis=1, keepdims=True)
    usual, noise = (error <= TAIL * times * calibration.scale for times in (1, noisy))
    for into, jumps in ((explanation.tied, found.jumps), (explanation.decided, found.short_jumps)):
        largest = jumps.max(axis=0, initial=0)
        tie = (error <= TIE * largest) | (largest > calibration.jump[rows]).any(axis=1, keepdims=True)
        into[rows] = (usual | noise | tie).all(axis=1) & (~usual & tie).any(axis=1)
    explanation.noisy[rows] = (usual | noise).all(axis=1) & ~explanation.tied[rows]
    return explanation
