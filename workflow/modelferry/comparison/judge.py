"""The judge: whether an artifact computes the trained function, and if not, why, in words that a report can show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from modelferry.comparison.difference import (
    ERROR_RATIO,
    Difference,
    Outputs,
    decided_by_rounding,
    departs,
    difference,
    ill_conditioned,
    same_where_not_finite,
    shares,
    unstable,
    within,
)
from modelferry.core.errors import first_few
from modelferry.core.model import Status
from modelferry.core.tolerances import Tolerance

ILL_CONDITIONED_SHARE = 1e-3
"""The largest share of ill-conditioned events."""


NEAR_TIE_SHARE = 1e-2
"""The largest share of events that rounding decides: their outputs jump however little inputs differ."""


SET_APART_SHARE = 1e-1
"""The largest share of events that are set apart: a perturbation ten times as large finds ten times as many ties."""


EVENTS, VALUES = "events", "values"
"""What is counted: rows of outputs whose first axis is that of events, or single numbers."""


@dataclass(frozen=True)
class Verdict:
    """Whether an artifact computes the trained function, and if not, why."""

    status: Status
    reason: str

    @property
    def passed(self) -> bool:
        """Whether it does."""
        return self.status == "passed"


@dataclass(frozen=True)
class Judgement:
    """The comparison of one output, near-ties set apart."""

    verdict: Verdict
    regular: Difference
    near_tie: np.ndarray
    """Which events are ill-conditioned or unstable, (events,)."""
    share: float = np.nan
    """The largest share of the allowed difference that was used; NaN if nothing was compared."""
    where: str = ""
    """The group in which it was used."""


def judge(
    outputs: Outputs,
    labels: np.ndarray,
    tolerance: Tolerance,
    special: Collection[str] = (),
    distinct: np.ndarray | None = None,
) -> Judgement:
    """Compare all events, (events,) labels naming the group of each.

    Groups in `special` are near-ties by design: they are compared like all others, but do not count for the share. Rows
    with the same number in `distinct` are the same event: if one is a near-tie, all are, and it counts once.

    Passes if all well-conditioned events agree with the float32 reference within `tolerance`, or if their largest error
    against float64 is at most twice the float32 reference's own; if what is not finite is so in both, and the same; and
    if no more than 0.1 % of the events are ill-conditioned, 1 % decided by rounding, 10 % set apart.
    """
    distinct = np.arange(len(labels)) if distinct is None else distinct
    ill = ill_conditioned(outputs, tolerance)
    ill = np.isin(distinct, distinct[ill])
    near_tie = ill | np.isin(distinct, distinct[unstable(outputs, tolerance)])
    tied = ill | np.isin(distinct, distinct[decided_by_rounding(outputs, tolerance)])
    counted = ~np.isin(labels, list(special))
    counts = [_count(distinct[counted & chosen]) for chosen in (np.True_, ill, tied, near_tie)]
    regular = outputs.take(~near_tie)
    measured = difference(regular, tolerance)
    reason = (
        _not_finite(outputs, EVENTS)
        or ("" if len(labels) else "no events were compared")
        or _too_many(*counts)
        or _disagreement(regular, labels[~near_tie], tolerance, measured, EVENTS)
    )
    share, where = _largest_share(regular, labels[~near_tie], tolerance, measured.reference_error)
    return Judgement(_verdict(reason), measured, near_tie, share, where)


def judge_values(outputs: Outputs, labels: np.ndarray, tolerance: Tolerance, by_float64: bool = True) -> Judgement:
    """Compare outputs value by value, (values, 1), where no axis counts events; (values,) labels name their calls.

    The rule is that of `judge`, but no near-ties are set apart. Without `by_float64` the tolerance alone decides, and
    so it does where NaN stands for a float64 reference that does not run: both errors are NaN then.
    """
    sound = np.isfinite(outputs.artifact).all(axis=1) & np.isfinite(outputs.float32).all(axis=1)
    regular = outputs.take(sound)
    measured = difference(regular, tolerance)
    if not np.isfinite(regular.float64).all():
        measured, by_float64 = replace(measured, error=np.nan, reference_error=np.nan), False
    nothing = (
        "" if sound.any() or not len(sound) else f"none of its {len(sound)} values is finite, and nothing was compared"
    )
    reason = (
        _not_finite(outputs, VALUES)
        or nothing
        or _disagreement(regular, labels[sound], tolerance, measured, VALUES, by_float64)
    )
    own_error = measured.reference_error if by_float64 else None
    share, where = _largest_share(regular, labels[sound], tolerance, own_error)
    return Judgement(_verdict(reason), measured, np.zeros(len(labels), bool), share, where)


def judge_damage(
    outputs: Outputs, score_shift: float, delta_auc: float | None, max_score_shift: float, max_delta_auc: float
) -> Verdict:
    """Judge an approximation by what it does to scores: it is not the trained function, and tolerances don't apply."""
    if reason := _not_finite(outputs, EVENTS):
        return Verdict("failed", reason)
    if score_shift > max_score_shift:
        return Verdict("failed", f"a score shifts by {score_shift:.2g} (max_score_shift: {max_score_shift:g})")
    if delta_auc is not None and delta_auc > max_delta_auc:
        return Verdict("failed", f"an AUC changes by {delta_auc:.2g} (max_delta_auc: {max_delta_auc:g})")
    return Verdict("passed", "")


def _largest_share(
    outputs: Outputs, labels: np.ndarray, tolerance: Tolerance, own_error: float | None
) -> tuple[float, str]:
    """Return the largest share of the allowed difference that was used, and the group in which it was used."""
    if not outputs.artifact.size:
        return np.nan, ""
    used = shares(outputs, tolerance, own_error)
    return float(used.max()), str(labels[used.argmax()])


def _verdict(reason: str) -> Verdict:
    return Verdict("failed" if reason else "passed", reason)


def _not_finite(outputs: Outputs, unit: str) -> str:
    """Return how many rows are not finite in one of the two only, or differently; empty if none is."""
    wrong = int((~same_where_not_finite(outputs.artifact, outputs.float32)).sum())
    share = f"{wrong} of {len(outputs.artifact)} {unit}"
    return f"{share} have NaN or infinities where the reference has none, or the reverse" if wrong else ""


def _too_many(events: int, ill: int, tied: int, near_tie: int) -> str:
    """Return which share of events that are set apart is too large."""
    if ill > ILL_CONDITIONED_SHARE * events:
        share = f"{ill} of {events} events are ill-conditioned"
        return f"{share}: the float32 reference itself departs from float64 (at most 0.1 % may)"
    if tied > NEAR_TIE_SHARE * events:
        share = f"{tied} of {events} events are decided by rounding"
        return f"{share}: inputs that differ in the last place give other outputs (at most 1 % may)"
    if near_tie > SET_APART_SHARE * events:
        return f"{near_tie} of {events} events are too near a tie to be compared (at most 10 % may)"
    return ""


def _disagreement(
    outputs: Outputs, labels: np.ndarray, tolerance: Tolerance, measured: Difference, unit: str, by_float64: bool = True
) -> str:
    """Return by how much an artifact is another function; empty if it is the trained one."""
    agree = within(outputs.artifact, outputs.float32, tolerance)
    if agree.all() or (by_float64 and not departs(outputs, tolerance, measured.reference_error)):
        return ""
    ratio = f"{measured.error_ratio:.2g} times the reference's own (at most {ERROR_RATIO:g})"
    return (
        f"{(~agree).sum()} of {len(agree)} {unit} differ from the reference by up to {measured.max_abs:.2g} "
        f"({first_few(sorted(set(labels[~agree].tolist())))}); the smallest rtol that would pass is "
        f"{measured.smallest_rtol:.2g} (asked: {tolerance.rtol:.2g}, atol {tolerance.atol:.2g})"
        f"{f', the error against float64 is {ratio}' if by_float64 else ''}"
    )


def _count(numbers: np.ndarray) -> int:
    return len(np.unique(numbers))
