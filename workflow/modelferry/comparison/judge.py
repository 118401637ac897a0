"""The judge: whether an artifact computes the trained function, and if not, why, in words that a report can show."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from modelferry.comparison.calibration import Calibration, bulk, explain
from modelferry.comparison.difference import Difference, Outputs, difference, same_where_not_finite, shares, within
from modelferry.core.errors import first_few
from modelferry.core.model import Status
from modelferry.core.tolerances import ANY, BULK, TABLE, TAIL, Tolerance

ILL_CONDITIONED_SHARE = 1e-3
"""The largest share of ill-conditioned events in which the artifact agrees with the reference of neither precision."""


NEAR_TIE_SHARE = 1e-2
"""The largest share of events that rounding decides: their outputs jump however little inputs differ."""


SET_APART_SHARE = 1e-1
"""The largest share of events that are set apart: a perturbation ten times as large finds ten times as many ties."""


ENOUGH = 100
"""Fewer events are not enough to calibrate on: outputs within the tolerance pass as well."""


NOISY_SHARE = 5e-3
"""The largest share of events whose errors only the reference's own, near them, explain."""


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
    """The comparison of one output, near-ties set apart.

    Attributes
    ----------
    near_tie
        Which events are ill-conditioned or explained by a tie, (events,).
    bulk, tail
        Root-mean-square and largest error against float64, in units of the float32 reference's own root-mean-square
        error; NaN if nothing was compared with float64.
    share, where
        The largest share of the allowed difference that was used, and the group in which it was used; NaN if nothing
        was compared.
    """

    verdict: Verdict
    regular: Difference
    near_tie: np.ndarray
    bulk: float = np.nan
    tail: float = np.nan
    share: float = np.nan
    where: str = ""


def judge(
    outputs: Outputs,
    labels: np.ndarray,
    tolerance: Tolerance,
    special: Collection[str] = (),
    distinct: np.ndarray | None = None,
    calibrated: bool = True,
) -> Judgement:
    """Compare all events, (events,) labels naming the group of each.

    Groups in `special` are near-ties by design: they are compared like all others, but do not count for the share. Rows
    with the same number in `distinct` are the same event: if one is a near-tie, all are, and it counts once.

    Passes if the errors against float64 are those of the float32 reference (`calibration`), or if the outputs agree
    with it within a tolerance that suffices; if what is not finite is so in both, and the same; and if no more than
    0.1 % of the events are ill-conditioned and agree with neither, 1 % ill-conditioned or decided by rounding, 10 % set
    apart. Only events with large errors are examined for ties.

    Unless `calibrated`, the float64 outputs are known, or estimated, only where outputs differ: the tolerance suffices,
    and an error may be twice the reference's largest one.
    """
    distinct = np.arange(len(labels)) if distinct is None else distinct
    calibration = Calibration.of(outputs, tolerance, distinct, calibrated)
    suffices = suffices_alone(tolerance, len(labels)) or not calibrated
    large = ~calibration.ill & ~calibration.agrees(outputs)
    if suffices:
        large &= ~within(outputs.artifact, outputs.float32, tolerance)
    few = _count(distinct[large]) <= SET_APART_SHARE * _count(distinct)
    explained = explain(outputs, calibration, np.flatnonzero(large & few))
    tied, decided = (np.isin(distinct, distinct[found]) for found in (explained.tied, explained.decided))
    noisy = explained.noisy & (_count(distinct[explained.noisy]) <= max(1, NOISY_SHARE * _count(distinct)))
    near_tie, counted = calibration.ill | tied, ~np.isin(labels, list(special))
    unsettled = calibration.ill & ~calibration.agrees(outputs) & ~within(outputs.artifact, outputs.float32, tolerance)
    counts = [
        _count(distinct[counted & found])
        for found in (np.True_, unsettled, calibration.ill, calibration.ill | decided, near_tie)
    ]
    judgement = _compare(
        outputs.take(~near_tie), labels[~near_tie], tolerance, EVENTS, calibration, suffices, noisy[~near_tie]
    )
    reason = (
        _not_finite(outputs, EVENTS)
        or ("" if len(labels) else "no events were compared")
        or _too_many(*counts)
        or judgement.verdict.reason
    )
    return replace(judgement, verdict=_verdict(reason), near_tie=near_tie)


def suffices_alone(tolerance: Tolerance, events: int) -> bool:
    """Return whether outputs within a tolerance pass, whatever their errors against float64.

    They do if it is not the usual tolerance of float32: it was asked for, or belongs to coarser or finer numbers. They
    also do if there are too few events to calibrate on.
    """
    return tolerance != TABLE[ANY, "float32"] or events < ENOUGH


def judge_values(outputs: Outputs, labels: np.ndarray, tolerance: Tolerance, by_float64: bool = True) -> Judgement:
    """Compare outputs value by value, (values, 1), where no axis counts events; (values,) labels name their calls.

    The rule is that of `judge` for few events, but nothing is set apart. Without `by_float64` the tolerance alone
    decides, and so it does where NaN stands for a float64 reference that does not run.
    """
    sound = np.isfinite(outputs.artifact).all(axis=1) & np.isfinite(outputs.float32).all(axis=1)
    regular, none = outputs.take(sound), np.zeros(len(labels), bool)
    known = bool(np.isfinite(regular.float64).all())
    calibration = Calibration.on_values(regular) if known and by_float64 else None
    judgement = _compare(regular, labels[sound], tolerance, VALUES, calibration, True, none[sound])
    if not known:
        judgement = replace(judgement, regular=replace(judgement.regular, error=np.nan, reference_error=np.nan))
    nothing = (
        "" if sound.any() or not len(sound) else f"none of its {len(sound)} values is finite, and nothing was compared"
    )
    reason = _not_finite(outputs, VALUES) or nothing or judgement.verdict.reason
    return replace(judgement, verdict=_verdict(reason), near_tie=none)


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


def _compare(
    outputs: Outputs,
    labels: np.ndarray,
    tolerance: Tolerance,
    unit: str,
    calibration: Calibration | None,
    suffices: bool,
    noisy: np.ndarray,
) -> Judgement:
    """Compare well-conditioned rows; in `noisy` ones, (rows,), the reference's own error explains a large one."""
    measured = difference(outputs, tolerance)
    if not outputs.artifact.size:
        return Judgement(_verdict(""), measured, noisy)
    used, size, largest, limit = shares(outputs, tolerance), np.nan, np.nan, ""
    wrong = used > 1
    if calibration is not None:
        errors = calibration.errors(outputs)
        errors[noisy] = np.minimum(errors[noisy], TAIL)
        size, largest = bulk(errors), float(errors.max())
        if suffices:
            errors[~wrong] = 0
        if not suffices or wrong.any():
            used = errors.max(axis=1) / TAIL
        wrong = errors.max(axis=1) > TAIL
        limit = f"{largest:.2g} times the reference's own (at most {TAIL:g})"
        if not wrong.any() and bulk(errors) > BULK:
            wrong = errors.max(axis=1) > BULK
            limit = f"{size:.2g} times the reference's own over all {unit} (at most {BULK:g})"
    reason = _disagreement(wrong, labels, tolerance, measured, unit, limit) if wrong.any() else ""
    return Judgement(_verdict(reason), measured, noisy, size, largest, float(used.max()), str(labels[used.argmax()]))


def _verdict(reason: str) -> Verdict:
    return Verdict("failed" if reason else "passed", reason)


def _not_finite(outputs: Outputs, unit: str) -> str:
    """Return how many rows are not finite in one of the two only, or differently; empty if none is."""
    wrong = int((~same_where_not_finite(outputs.artifact, outputs.float32)).sum())
    share = f"{wrong} of {len(outputs.artifact)} {unit}"
    return f"{share} have NaN or infinities where the reference has none, or the reverse" if wrong else ""


def _too_many(events: int, unsettled: int, ill: int, tied: int, near_tie: int) -> str:
    """Return which share of events that are set apart is too large."""
    departs = "events are ill-conditioned: the float32 reference itself departs from float64"
    if ill > NEAR_TIE_SHARE * events:
        return f"{ill} of {events} {departs} (at most 1 % may)"
    if unsettled > ILL_CONDITIONED_SHARE * events:
        return f"{unsettled} of {events} {departs}, and the artifact agrees with neither (at most 0.1 % may)"
    if tied > NEAR_TIE_SHARE * events:
        share = f"{tied} of {events} events are decided by rounding"
        return f"{share}: inputs that differ in the last place give other outputs (at most 1 % may)"
    if near_tie > SET_APART_SHARE * events:
        return f"{near_tie} of {events} events are too near a tie to be compared (at most 10 % may)"
    return ""


def _disagreement(
    wrong: np.ndarray, labels: np.ndarray, tolerance: Tolerance, measured: Difference, unit: str, error: str
) -> str:
    """Return by how much an artifact is another function; `error` says what its error against float64 is."""
    return (
        f"{wrong.sum()} of {len(wrong)} {unit} differ from the reference by up to {measured.max_abs:.2g} "
        f"({first_few(sorted(set(labels[wrong].tolist())))}); the smallest rtol that would pass is "
        f"{measured.smallest_rtol:.2g} (asked: {tolerance.rtol:.2g}, atol {tolerance.atol:.2g})"
        f"{error and f', the error against float64 is {error}'}"
    )


def _count(numbers: np.ndarray) -> int:
    return len(np.unique(numbers))
