"""Whether one output of two functions agrees in all calls: event by event, or value by value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from modelferry.comparison.asking import AskedSide, Call
from modelferry.comparison.difference import (
    ILL_CONDITIONED,
    Examination,
    Examine,
    Outputs,
    same_where_not_finite,
    within,
)
from modelferry.comparison.judge import Judgement, judge, judge_damage, judge_values
from modelferry.comparison.outputs import by_event
from modelferry.comparison.result import EventDifference, OutputDifference
from modelferry.comparison.scores import SCORES
from modelferry.core.tolerances import Tolerance

WORST = 5
"""Events that are listed of an output that differs."""


@dataclass(frozen=True)
class Rule:
    """By what two outputs agree.

    Attributes
    ----------
    asked
        The tolerance that was asked for, which then decides alone; None for the `usual` one of their types, in which
        case float64 may decide as well.
    special
        Labels of questions that are near a tie by design.
    repeated, rounding
        How many calls are repeated, at most, and whether files that compute with several threads may round otherwise.
    outputs
        What outputs of the other belong to those of the reference, by name, where names do not tell.
    damage
        For an approximation, by how much a score may shift; tolerances do not apply then.
    scores
        What makes scores of the first output.
    """

    usual: Callable[[Collection[str]], Tolerance]
    asked: Tolerance | None = None
    special: Collection[str] = ()
    repeated: int = 16
    rounding: bool = False
    outputs: Mapping[str, str] = field(default_factory=dict)
    damage: float | None = None
    scores: str = "nothing"


def judged(name: str, calls: Sequence[Call], asked: AskedSide, rule: Rule) -> OutputDifference:
    """Judge one output on all calls: event by event if each call has a row for each, else value by value."""
    tolerance = rule.asked or rule.usual({call.reference[name].dtype.name for call in calls} | {
        call.other[name].dtype.name for call in calls
    })  # fmt: skip
    by_rows = all(_has_rows(call, name) for call in calls)
    return (_judged_events if by_rows else _judged_values)(name, calls, asked, rule, tolerance)


def _has_rows(call: Call, name: str) -> bool:
    rows = len(call.question.events)
    return rows > 0 and all(array[name].ndim > 0 and len(array[name]) == rows for array in (call.reference, call.other))


def _judged_values(
    name: str, calls: Sequence[Call], asked: AskedSide, rule: Rule, tolerance: Tolerance
) -> OutputDifference:
    exact = _joined(call.truth.get(name, np.full(call.reference[name].shape, np.nan)) for call in calls)
    outputs = Outputs(
        exact, _joined(call.reference[name] for call in calls), _joined(call.other[name] for call in calls)
    )
    labels = np.repeat([call.question.label for call in calls], [call.reference[name].size for call in calls])
    judgement = judge_values(outputs, labels, tolerance, by_float64=rule.asked is None)
    return _difference(name, tolerance, judgement)


def _joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.astype(np.float64).reshape(-1, 1) for array in arrays])


def _judged_events(
    name: str, calls: Sequence[Call], asked: AskedSide, rule: Rule, tolerance: Tolerance
) -> OutputDifference:
    reference, other = (
        np.concatenate([by_event(values[name]).astype(np.float64) for values in side])
        for side in ([call.reference for call in calls], [call.other for call in calls])
    )
    counts = [len(call.question.events) for call in calls]
    labels = np.repeat([call.question.label for call in calls], counts)
    events = np.concatenate([call.question.events for call in calls])
    compared = np.isfinite(reference).all(axis=1) & np.isfinite(other).all(axis=1)
    odd = ~compared & ~same_where_not_finite(other, reference)
    differ = compared & ~within(other, reference, tolerance)
    known = rule.asked is None and all(name in call.truth for call in calls)
    measured = known or (rule.asked is None and (asked.side.eager or bool(differ.any())))
    starts = np.cumsum([0, *counts])
    truth = np.concatenate([by_event(call.truth[name]) for call in calls]) if known else reference.copy()
    for call, start, stop in zip(calls, starts, starts[1:], strict=False):
        part, rows = reference[start:stop], differ[start:stop]
        if known or not measured or not rows.any():
            continue
        if (moves := asked.moves(call, name)) is not None:  # where rounding decides, no value is exact
            rows = rows & np.all([within(part + move, part, tolerance, ILL_CONDITIONED) for move in moves], axis=0)
        if (exact := asked.exact(call, name)) is not None:
            truth[start:stop] = np.where(rows[:, None], exact, part)
    kept = compared | odd
    outputs = Outputs(truth, reference, other, _examine(name, calls, asked, starts)).take(kept)
    judgement = judge(outputs, labels[kept], tolerance, rule.special, events[kept], calibrated=known)
    shift = np.nan
    if rule.damage is not None:
        scores = SCORES[rule.scores] if name == next(iter(calls[0].reference)) else SCORES["nothing"]
        shift = float(np.nan_to_num(np.abs(scores(outputs.artifact) - scores(outputs.float32)), nan=np.inf).max())
        judgement = replace(judgement, verdict=judge_damage(outputs, shift, None, rule.damage, np.inf))
    regular = np.zeros(len(kept), bool)
    regular[np.flatnonzero(kept)[~judgement.near_tie]] = True
    found = _difference(name, tolerance, judgement, events=int(kept.sum()))
    if not kept.any():
        return found.replaced(reason=f"none of its {len(kept)} events is finite, and nothing was compared")
    changes: dict[str, object] = {} if measured else {"error": np.nan, "own_error": np.nan}
    changes["score_shift"] = shift
    changes["near_ties"] = len(np.unique(events[differ & ~regular]))
    if reference.shape[1] > 1 and all(np.issubdtype(call.reference[name].dtype, np.floating) for call in calls):
        changes["argmax_flips"] = int((reference.argmax(axis=1) != other.argmax(axis=1))[regular & compared].sum())
    if found.reason:
        positions = np.concatenate([np.arange(count) for count in counts])
        distance = np.nan_to_num(np.abs(other - reference).max(axis=1, initial=0), nan=np.inf)
        wrong = np.flatnonzero((differ | odd) & (regular | odd))
        worst = wrong[np.argsort(-distance[wrong], kind="stable")][:WORST]
        changes["worst"] = tuple(
            EventDifference(
                str(labels[row]), int(positions[row]), int(events[row]), float(distance[row]),
                tuple(reference[row].tolist()), tuple(other[row].tolist()),
            )
            for row in worst
        )  # fmt: skip
        changes["reason"] = found.reason + _explained(reference[compared], other[compared], tolerance)
    return found.replaced(**changes)


def _examine(name: str, calls: Sequence[Call], asked: AskedSide, starts: np.ndarray) -> Examine:
    """Return what examines events: jumps and noise of a call when its inputs move, zeros where it refuses that."""

    @cache
    def of_call(index: int) -> Examination:
        moves, noise = asked.moves(calls[index], name), asked.noise(calls[index], name)
        nothing = np.zeros_like(by_event(calls[index].reference[name]), dtype=np.float64)
        jumps = nothing[None] if moves is None else np.abs(moves)
        return Examination(jumps, jumps, nothing if noise is None else noise)

    def examine(rows: np.ndarray) -> Examination:
        indices = np.searchsorted(starts, rows, side="right") - 1
        found = [of_call(index).take([row - starts[index]]) for index, row in zip(indices, rows, strict=True)]
        return Examination.joined(found)

    return examine


def _difference(name: str, tolerance: Tolerance, judgement: Judgement, events: int = 0) -> OutputDifference:
    measured = dict(vars(judgement.regular))
    own_error = measured.pop("reference_error")
    measured |= {"share": judgement.share, "where": judgement.where, "reason": judgement.verdict.reason}
    return OutputDifference(name, tolerance, own_error=own_error, events=events, **measured)


def _explained(reference: np.ndarray, other: np.ndarray, tolerance: Tolerance) -> str:
    """Return what makes one output of the other, if it is the scores of logits; empty if nothing known does."""
    for word, scores in SCORES.items():
        for values, wanted, who in ((reference, other, "it gives"), (other, reference, "the reference gives")):
            if word != "nothing" and len(values) and within(scores(values), wanted, tolerance, 10).all():
                return f"; {who} the {word} of what the {'reference' if who == 'it gives' else 'other'} gives"
    return ""
