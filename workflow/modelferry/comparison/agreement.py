"""Two functions asked the same questions: whether they agree, where they do not, and by how much.

One of the two is the reference: a network in PyTorch if there is one, whose float64 is then the truth. Where both are
files, only events that differ are looked at more closely: in float64 if the reference can compute in it, else with
inputs that are moved in their last places; the mean of what they give stands for the exact value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

import numpy as np

from modelferry.comparison.determinism import ARTIFACT_IS_RANDOM, OTHER_OUTPUTS, check_network, repeats
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
from modelferry.comparison.result import Comparison, EventDifference, OutputDifference
from modelferry.comparison.scores import SCORES
from modelferry.comparison.side import Function, Side
from modelferry.core.contract import Arrays
from modelferry.core.errors import NetworkError, one_line
from modelferry.core.tolerances import Tolerance

WORST = 5
"""Events that are listed of an output that differs."""
MOVE, DIRECTIONS = 1e-6, 4
"""Relative size of a move of the inputs that finds near-ties, as in validation, and how many are tried."""
ROUNDING, DRAWS = 2.0**-24, 8
"""Relative size of rounding in float32, and of how many calls with inputs moved by it the mean is the exact value."""


@dataclass(frozen=True)
class Question:
    """One call of both functions.

    Attributes
    ----------
    reference, other
        The inputs of each, under its own names.
    events
        Numbers of the events of the call, in order: equal numbers are equal events. Empty if it is not known what an
        event is.
    alone
        The inputs of both for one of the events, by its position.
    moved
        The reference's inputs moved in a direction that a seed tells, by a relative size.
    """

    label: str
    reference: Arrays
    other: Arrays
    events: tuple[int, ...] = ()
    alone: Callable[[int], tuple[Arrays, Arrays]] | None = None
    moved: Callable[[int, float], Arrays] | None = None


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


@dataclass(frozen=True)
class _Call:
    question: Question
    reference: Arrays
    other: Arrays
    truth: Arrays


class _Asked:
    """A side that is asked, all events of a call together or, if it cannot do that, one by one."""

    def __init__(self, side: Side, which: str) -> None:
        self.side, self.which = side, which
        self.alone = ""
        """Why events are asked one by one; empty while they are not."""

    def answer(self, question: Question, function: Function | None = None) -> Arrays:
        """Return the outputs of a call; raise what the function raises."""
        call = function or self.side.call
        if len(question.events) < 2 or question.alone is None:
            return call(getattr(question, self.which))
        if not self.alone:
            failure: Exception | None = None
            try:
                outputs = call(getattr(question, self.which))
                if any(array.ndim and len(array) == len(question.events) for array in outputs.values()):
                    return outputs
                rows = ", ".join(f"'{name}' {list(array.shape)}" for name, array in outputs.items())
                why = f"{len(question.events)} events give {rows}"
            except Exception as error:  # a function may fail in any way
                failure, why = error, one_line(error)
            try:
                outputs = self._one_by_one(question, call)
            except Exception:
                if failure is not None:
                    raise failure from None
                return outputs
            self.alone = why
            return outputs
        return self._one_by_one(question, call)

    def _one_by_one(self, question: Question, call: Function) -> Arrays:
        assert question.alone is not None
        index = ("reference", "other").index(self.which)
        rows = [call(question.alone(position)[index]) for position in range(len(question.events))]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def compare_sides(reference: Side, other: Side, questions: Iterable[Question], rule: Rule) -> Comparison:
    """Ask both all questions, and judge each output.

    What the reference refuses is not compared. What only the other refuses makes it another function, and so does an
    answer that is not repeated.

    Raises
    ------
    NetworkError
        If the reference gives other outputs for the same inputs, or fails on all of them.
    """
    first, second = _Asked(reference, "reference"), _Asked(other, "other")
    calls: list[_Call] = []
    labels: list[str] = []
    skipped: dict[str, str] = {}
    pairs: dict[str, str] = {}
    notes = [*_notes(reference), *_notes(other)]

    def result(reason: str) -> Comparison:
        return Comparison((), tuple(labels), skipped, reason, notes=(*notes, *_alone(first, second)))

    for question in questions:
        label = question.label
        try:
            wanted = first.answer(question)
        except Exception as error:  # a network may refuse a size in any way
            skipped[label] = one_line(error)
            continue
        labels.append(label)
        checked = len(labels) <= rule.repeated
        if checked:
            _check_repeats(first, question, wanted, rule)
        try:
            returned = second.answer(question)
            again = second.answer(question) if checked else returned
        except Exception as error:  # each runtime has kinds of its own
            return result(f"it refuses {label}: {one_line(error)}")
        if not pairs:
            pairs, paired_by_place = _pairs(list(wanted), list(returned), rule.outputs)
            if not pairs:
                return result(f"its outputs are {list(returned)} instead of {list(wanted)} at {label}")
            notes += paired_by_place
        random = "" if repeats(returned, again, rule.rounding) else ARTIFACT_IS_RANDOM
        if reason := _misfit(wanted, returned, pairs) or random:
            return result(f"{reason} at {label}")
        truth = _truth(first, question) if reference.eager else {}
        calls.append(_Call(question, wanted, {name: returned[to] for name, to in pairs.items()}, truth))
    if not calls:
        call, why = next(iter(skipped.items()), ("anything", "there is nothing to ask"))
        raise NetworkError(f"{reference.called} itself fails on {call}: {why}", "give inputs that it accepts")
    judged = [_judged(name, calls, first, rule) for name in pairs]
    reason = "; ".join(f"'{output.name}': {output.reason}" for output in judged if output.reason)
    notes += _alone(first, second)
    return Comparison(tuple(judged), tuple(labels), skipped, reason, tuple(notes))


def _notes(side: Side) -> list[str]:
    return [f"{side.called}: {note}" for note in side.notes]


def _alone(*sides: _Asked) -> list[str]:
    return [f"{asked.side.called} takes one event a call: {asked.alone}" for asked in sides if asked.alone]


def _check_repeats(asked: _Asked, question: Question, first: Arrays, rule: Rule) -> None:
    again = partial(asked.answer, question, asked.side.repeatable)
    if asked.side.eager:
        check_network(first, again)
    elif not repeats(first, again(), rule.rounding):
        raise NetworkError(f"{asked.side.called} {OTHER_OUTPUTS} at {question.label}", "export it in evaluation mode")


def _pairs(wanted: list[str], returned: list[str], given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return which output of the other belongs to each of the reference: as given, by name, or by place."""
    if set(wanted) == set(returned):
        return {name: given.get(name, name) for name in wanted}, []
    pairs = {name: to for name, to in given.items() if name in wanted and to in returned}
    rest, others = [n for n in wanted if n not in pairs], [n for n in returned if n not in pairs.values()]
    if len(rest) != len(others):
        return {}, []
    by_place = dict(zip(rest, others, strict=True))
    said = ", ".join(f"'{name}' and '{to}'" for name, to in by_place.items())
    notes = [f"outputs that were compared by their place: {said}"] if by_place else []
    return {name: {**pairs, **by_place}[name] for name in wanted}, notes


def _misfit(wanted: Arrays, returned: Arrays, pairs: Mapping[str, str]) -> str:
    for name, to in pairs.items():
        shapes = wanted[name].shape, returned[to].shape
        without_ones = [tuple(size for size in shape if size != 1) for shape in shapes]
        if shapes[0] != shapes[1] and (without_ones[0] != without_ones[1] or name == to):
            return f"'{to}' has shape {shapes[1]} instead of {shapes[0]}"
    return ""


def _truth(asked: _Asked, question: Question) -> Arrays:
    """Return the outputs in float64; nothing where the function insists on its own type."""
    if asked.side.double is None:
        return {}
    try:
        return asked.answer(question, asked.side.double)
    except Exception:  # tensors that `forward` makes in float32, say
        return {}


def _judged(name: str, calls: Sequence[_Call], asked: _Asked, rule: Rule) -> OutputDifference:
    """Judge one output on all calls: event by event if each call has a row for each, else value by value."""
    tolerance = rule.asked or rule.usual({call.reference[name].dtype.name for call in calls} | {
        call.other[name].dtype.name for call in calls
    })  # fmt: skip
    by_rows = all(_has_rows(call, name) for call in calls)
    return (_judged_events if by_rows else _judged_values)(name, calls, asked, rule, tolerance)


def _has_rows(call: _Call, name: str) -> bool:
    rows = len(call.question.events)
    return rows > 0 and all(array[name].ndim > 0 and len(array[name]) == rows for array in (call.reference, call.other))


def _judged_values(
    name: str, calls: Sequence[_Call], asked: _Asked, rule: Rule, tolerance: Tolerance
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
    name: str, calls: Sequence[_Call], asked: _Asked, rule: Rule, tolerance: Tolerance
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
        if (moves := _moves(call, name, asked)) is not None:  # where rounding decides, no value is exact
            rows = rows & np.all([within(part + move, part, tolerance, ILL_CONDITIONED) for move in moves], axis=0)
        if (exact := _exact(call, name, asked)) is not None:
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


def _examine(name: str, calls: Sequence[_Call], asked: _Asked, starts: np.ndarray) -> Examine:
    """Return what examines events: jumps and noise of a call when its inputs move, zeros where it refuses that."""

    @cache
    def of_call(index: int) -> Examination:
        moves, noise = _moves(calls[index], name, asked), _noise(calls[index], name, asked)
        nothing = np.zeros_like(by_event(calls[index].reference[name]), dtype=np.float64)
        jumps = nothing[None] if moves is None else np.abs(moves)
        return Examination(jumps, jumps, nothing if noise is None else noise)

    def examine(rows: np.ndarray) -> Examination:
        indices = np.searchsorted(starts, rows, side="right") - 1
        found = [of_call(index).take([row - starts[index]]) for index, row in zip(indices, rows, strict=True)]
        return Examination.joined(found)

    return examine


def _noise(call: _Call, name: str, asked: _Asked) -> np.ndarray | None:
    """Return the root-mean-square error of a call in float32 with moved inputs, (events, values); None if not known."""
    single, double = asked.side.call, asked.side.double
    if double is None:
        return None
    try:
        errors = [
            _moved(call, name, asked, single, seed, MOVE) - _moved(call, name, asked, double, seed, MOVE)
            for seed in range(DIRECTIONS)
        ]
    except Exception:  # a function may refuse moved inputs in any way
        return None
    return np.sqrt(np.mean(np.square(errors), axis=0))


def _difference(name: str, tolerance: Tolerance, judgement: Judgement, events: int = 0) -> OutputDifference:
    measured = dict(vars(judgement.regular))
    own_error = measured.pop("reference_error")
    measured |= {"share": judgement.share, "where": judgement.where, "reason": judgement.verdict.reason}
    return OutputDifference(name, tolerance, own_error=own_error, events=events, **measured)


def _exact(call: _Call, name: str, asked: _Asked) -> np.ndarray | None:
    """Return the exact values of a call, (events, values): in float64, or the mean over inputs moved by rounding.

    None where the function refuses both.
    """
    truth = call.truth or _truth(asked, call.question)
    if name in truth:
        return by_event(truth[name]).astype(np.float64)
    try:
        draws = [_moved(call, name, asked, asked.side.call, seed, ROUNDING) for seed in range(DRAWS)]
    except Exception:  # a function may refuse moved inputs in any way
        return None
    return np.mean(draws, axis=0)


def _moves(call: _Call, name: str, asked: _Asked) -> np.ndarray | None:
    """Return by how much the outputs of a call jump when its inputs are moved, (directions, events, values).

    A jump is what of a change is out of proportion to that of a move ten times as large: about zero for a smooth
    function, however steep. None where the function refuses inputs that are moved.
    """
    for function in filter(None, (asked.side.double, asked.side.call)):
        try:
            still = by_event(asked.answer(call.question, function)[name]).astype(np.float64)
            jumps = []
            for seed in range(DIRECTIONS):
                near, far = (_moved(call, name, asked, function, seed, m) - still for m in (MOVE, 10 * MOVE))
                rest = near - far / 10
                jumps.append(np.where(np.abs(rest) < np.abs(near), rest, near))
            return np.stack(jumps)
        except Exception:  # the next one may do, or none
            continue
    return None


def _moved(call: _Call, name: str, asked: _Asked, function: Function, seed: int, size: float) -> np.ndarray:
    """Return an output of a call whose inputs are moved."""
    question = call.question
    if question.moved is None or asked.alone:
        raise NotImplementedError("not known how to move these inputs")
    inputs = question.moved(seed, size)
    return by_event(function(inputs)[name]).astype(np.float64)


def _explained(reference: np.ndarray, other: np.ndarray, tolerance: Tolerance) -> str:
    """Return what makes one output of the other, if it is the scores of logits; empty if nothing known does."""
    for word, scores in SCORES.items():
        for values, wanted, who in ((reference, other, "it gives"), (other, reference, "the reference gives")):
            if word != "nothing" and len(values) and within(scores(values), wanted, tolerance, 10).all():
                return f"; {who} the {word} of what the {'reference' if who == 'it gives' else 'other'} gives"
    return ""
