"""Two functions asked the same questions: whether they agree, where they do not, and by how much.

One of the two is the reference: a network in PyTorch if there is one, whose float64 is then the truth. Where both are
files, only events that differ are looked at more closely: in float64 if the reference can compute in it, else with
inputs that are moved in their last places; the mean of what they give stands for the exact value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from modelferry.comparison.asking import AskedSide, Call, Question
from modelferry.comparison.determinism import ARTIFACT_IS_RANDOM, OTHER_OUTPUTS, check_network, repeats
from modelferry.comparison.output_agreement import Rule, judged
from modelferry.comparison.result import Comparison
from modelferry.comparison.side import Side
from modelferry.core.contract import Arrays
from modelferry.core.errors import NetworkError, one_line


def compare_sides(reference: Side, other: Side, questions: Iterable[Question], rule: Rule) -> Comparison:
    """Ask both all questions, and judge each output.

    What the reference refuses is not compared. What only the other refuses makes it another function, and so does an
    answer that is not repeated.

    Raises
    ------
    NetworkError
        If the reference gives other outputs for the same inputs, or fails on all of them.
    """
    first, second = AskedSide(reference, "reference"), AskedSide(other, "other")
    calls: list[Call] = []
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
        truth = first.truth(question) if reference.eager else {}
        calls.append(Call(question, wanted, {name: returned[to] for name, to in pairs.items()}, truth))
    if not calls:
        call, why = next(iter(skipped.items()), ("anything", "there is nothing to ask"))
        raise NetworkError(f"{reference.called} itself fails on {call}: {why}", "give inputs that it accepts")
    found = [judged(name, calls, first, rule) for name in pairs]
    reason = "; ".join(f"'{output.name}': {output.reason}" for output in found if output.reason)
    notes += _alone(first, second)
    return Comparison(tuple(found), tuple(labels), skipped, reason, tuple(notes))


def _notes(side: Side) -> list[str]:
    return [f"{side.called}: {note}" for note in side.notes]


def _alone(*sides: AskedSide) -> list[str]:
    return [f"{asked.side.called} takes one event a call: {asked.alone}" for asked in sides if asked.alone]


def _check_repeats(asked: AskedSide, question: Question, first: Arrays, rule: Rule) -> None:
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
