"""The judge: whether an artifact computes the trained function, and if not, why, in words that a report can show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from modelferry.comparison.difference import (
    ERROR_RATIO,
    Difference,
    Outputs,
    decided_by_rounding,
    departs,
    difference,
    ill_conditioned,
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
"""The largest share of events that are set apart: ten times the shaking finds ten times as many ties."""


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


def judge(
    outputs: Outputs,
    labels: np.ndarray,
    tolerance: Tolerance,
    awkward: Collection[str] = (),
    distinct: np.ndarray | None = None,
) -> Judgement:
    """Compare all events, (events,) labels naming the group of each.

    Groups in `awkward` are near-ties by design: they are compared like all others, but do not count for the share. Rows
    with the same number in `distinct` are the same event: if one is a near-tie, all are, and it counts once.

    Passes if all well-conditioned events agree with the float32 reference within `tolerance`, or if their largest error
    against float64 is at most twice the float32 reference's own; and if no more than 0.1 % of the events are
    ill-conditioned, 1 % decided by rounding, 10 % set apart.
    """
    distinct = np.arange(len(labels)) if distinct is None else distinct
    ill = ill_conditioned(outputs, tolerance)
    ill = np.isin(distinct, distinct[ill])
    near_tie = ill | np.isin(distinct, distinct[unstable(outputs, tolerance)])
    regular = outputs.take(~near_tie)
    found = difference(regular, tolerance)
    if not np.isfinite(outputs.artifact).all():
        count = int((~np.isfinite(outputs.artifact)).any(axis=1).sum())
        return Judgement(Verdict("failed", f"{count} events have outputs that are not finite"), found, near_tie)
    if len(labels) == 0:
        return Judgement(Verdict("failed", "no events were compared"), found, near_tie)
    ordinary = ~np.isin(labels, list(awkward))
    decided = ill | np.isin(distinct, distinct[decided_by_rounding(outputs, tolerance)])
    kinds = (np.True_, ill, decided, near_tie)
    many, ill_ones, ties, apart = (_count(distinct[ordinary & chosen]) for chosen in kinds)
    if ill_ones > ILL_CONDITIONED_SHARE * many:
        share = f"{ill_ones} of {many} events are ill-conditioned"
        reason = f"{share}: the float32 reference itself departs from float64 (at most 0.1 % may)"
        return Judgement(Verdict("failed", reason), found, near_tie)
    if ties > NEAR_TIE_SHARE * many:
        share = f"{ties} of {many} events are decided by rounding"
        reason = f"{share}: inputs that differ in the last place give other outputs (at most 1 % may)"
        return Judgement(Verdict("failed", reason), found, near_tie)
    if apart > SET_APART_SHARE * many:
        reason = f"{apart} of {many} events are too near a tie to be compared (at most 10 % may)"
        return Judgement(Verdict("failed", reason), found, near_tie)
    if not departs(regular, tolerance, found.reference_error):
        return Judgement(Verdict("passed", ""), found, near_tie)
    agree = within(regular.artifact, regular.float32, tolerance)
    return Judgement(Verdict("failed", _describe(agree, labels[~near_tie], found, tolerance)), found, near_tie)


def judge_damage(
    outputs: Outputs, score_shift: float, delta_auc: float | None, max_score_shift: float, max_delta_auc: float
) -> Verdict:
    """Judge an approximation by what it does to scores: it is not the trained function, and tolerances don't apply."""
    if not np.isfinite(outputs.artifact).all():
        return Verdict("failed", "an output is not finite")
    if score_shift > max_score_shift:
        return Verdict("failed", f"a score shifts by {score_shift:.2g} (max_score_shift: {max_score_shift:g})")
    if delta_auc is not None and delta_auc > max_delta_auc:
        return Verdict("failed", f"an AUC changes by {delta_auc:.2g} (max_delta_auc: {max_delta_auc:g})")
    return Verdict("passed", "")


def _describe(agree: np.ndarray, labels: np.ndarray, found: Difference, tolerance: Tolerance) -> str:
    groups = sorted(set(labels[~agree].tolist()))
    return (
        f"{(~agree).sum()} of {len(agree)} events differ from the reference by up to {found.max_abs:.2g} "
        f"({first_few(groups)}); the smallest rtol that would pass is {found.smallest_rtol:.2g} "
        f"(asked: {tolerance.rtol:.2g}, atol {tolerance.atol:.2g}), "
        f"the error against float64 is {found.error_ratio:.2g} times the reference's own (at most {ERROR_RATIO:g})"
    )


def _count(numbers: np.ndarray) -> int:
    return len(np.unique(numbers))
