"""The checks of a loaded artifact that need none of its weights, and the verdict on them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from modelferry.comparison.difference import within
from modelferry.comparison.judge import Judgement, Verdict, judge, judge_damage
from modelferry.core.contract import Arrays, Contract
from modelferry.core.model import Exactness
from modelferry.core.tolerances import ANY, Tolerance, tolerance_of
from modelferry.families import Family
from modelferry.formats import Runner
from modelferry.records.validation import Decisions, IllConditioned, OutsideCase, PropertyResult, ShapePoint
from modelferry.stages.validation.decisions import decide, score_shift
from modelferry.stages.validation.invalid_inputs import not_finite, reject_all
from modelferry.stages.validation.invariances import measure
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.run_probes import ProbeResults, run_probes
from modelferry.stages.validation.verdict import with_outside, with_points, with_properties

if TYPE_CHECKING:
    from modelferry.config.sections import Validation as Settings

LISTED = 20
"""Ill-conditioned events that are written out."""


@dataclass(frozen=True)
class CheckResults:
    """What the checks found.

    Attributes
    ----------
    compared
        The probes within the contract, and what the artifact made of them.
    numbers
        The numbers of their events in the whole recording, (events,).
    """

    compared: ProbeResults
    numbers: np.ndarray
    judgement: Judgement
    decisions: Decisions
    points: tuple[ShapePoint, ...]
    outside: tuple[OutsideCase, ...]
    properties: tuple[PropertyResult, ...]
    verdict: Verdict

    def near_ties(self, output: str) -> tuple[IllConditioned, ...]:
        """Return the ill-conditioned events, each once, so that one can look at them: `modelferry event`."""
        probed, rows = self.compared.recording, np.flatnonzero(self.judgement.near_tie)
        _, first = np.unique(probed.distinct[rows], return_index=True)
        return tuple(
            IllConditioned(
                event=int(self.numbers[row]),
                source=f"{probed.sources[row]}, {probed.labels[row]}",
                reference_float32=tuple(map(float, probed.float32[output][row])),
                reference_float64=tuple(map(float, probed.float64[output][row])),
                artifact=tuple(map(float, self.compared.outputs[output][row])),
            )
            for row in rows[np.sort(first)][:LISTED]
        )


def check_artifact(
    run: Runner,
    family: Family,
    contract: Contract,
    recording: Recording,
    tolerance: Tolerance,
    exactness: Exactness,
    limits: Settings,
    thorough: bool = True,
) -> CheckResults:
    """Feed an artifact all probes, and malformed inputs if `thorough`, and judge what it does.

    `limits` hold what an approximation may do to scores; an exact artifact is held against the tolerance.
    """
    exact = exactness == "exact"
    answers = run_probes(run, family, contract, recording)
    kept = answers.within & answers.finite_inputs
    compared = answers.part(kept)
    probed, artifact = compared.recording, compared.outputs
    judgement = judge_outputs(probed, artifact, tolerance, contract, special_groups(family))
    output = contract.outputs[0].name
    outputs = probed.outputs(output, artifact[output])
    decisions = decide(contract, outputs, probed.classes, probed.distinct)
    if exact:
        agree = within(outputs.artifact, outputs.float32, tolerance) | judgement.near_tie | judgement.verdict.passed
    else:
        agree = score_shift(contract, outputs) <= limits.max_score_shift
    points = shape_points(answers, compared, agree, judgement.near_tie)
    malformed = reject_all(run, contract, typical_inputs(family, contract)) if thorough else []
    outside = (*malformed, *not_finite(answers, tolerance if exact else None))
    properties = measure(probed, artifact, judgement.near_tie, tolerance)
    if exact:
        verdict = with_properties(judgement.verdict, properties)
    else:
        shift, limit = decisions.max_score_shift, limits.max_score_shift
        verdict = judge_damage(outputs, shift, decisions.delta_auc, limit, limits.max_delta_auc)
    verdict = with_outside(with_points(verdict, points, answers.reasons), outside)
    numbers = answers.rows(kept)
    return CheckResults(compared, numbers, judgement, decisions, points, outside, properties, verdict)


def judge_outputs(
    recording: Recording, artifact: Arrays, tolerance: Tolerance, contract: Contract, special: Collection[str] = ()
) -> Judgement:
    """Judge all outputs, and return the judgement of the first that fails, or else of the first output."""
    judgements = []
    for tensor in contract.outputs:
        own = tolerance if tensor.dtype == contract.outputs[0].dtype else tolerance_of(ANY, tensor.dtype)
        outputs = recording.outputs(tensor.name, artifact[tensor.name])
        judgements.append(judge(outputs, recording.labels, own, special, recording.distinct))
    return next((judgement for judgement in judgements if not judgement.verdict.passed), judgements[0])


def special_groups(family: Family) -> frozenset[str]:
    """Return the labels of events that are made to be near a tie, or stand outside the contract."""
    return frozenset([*family.special(0), *family.documented(0)])


def typical_inputs(family: Family, contract: Contract) -> Arrays:
    """Return the inputs of a call of two events of typical size."""
    return family.inputs_of(family.sample(family.call_sizes(contract, 2), seed=0), contract)


def shape_points(
    answers: ProbeResults, compared: ProbeResults, agree: np.ndarray, near_tie: np.ndarray
) -> tuple[ShapePoint, ...]:
    """Return the result of each group of probes.

    Parameters
    ----------
    answers, compared
        All probes, and those that were compared: within the contract, and finite.
    agree, near_tie
        Which events were answered correctly, and which of them are near-ties, (events compared,).
    """
    probed, points = compared.recording, []
    largest = np.zeros(len(near_tie))
    for name, values in compared.outputs.items():
        changes = np.abs(values - probed.float32[name]).max(axis=1, initial=0)
        largest = np.maximum(largest, np.where(near_tie, 0, np.nan_to_num(changes, nan=np.inf)))
    probes = zip(answers.recording.probes, answers.within, answers.answered, answers.finite_inputs, strict=True)
    for label, group in groupby((entry for entry in probes if entry[3]), lambda entry: entry[0].label):
        members = list(group)
        chosen, refused = probed.labels == label, not all(answered for _, _, answered, _ in members)
        expected = all(allowed for _, allowed, _, _ in members)
        right = expected and bool(agree[chosen].all())
        points.append(
            ShapePoint(
                label=label,
                sizes=members[0][0].sizes,
                events=sum(len(probe.events) for probe, *_ in members),
                expected="correct" if expected else "rejected",
                outcome="rejected" if refused else "correct" if right else "silently wrong",
                max_abs_diff=0.0 if refused else float(largest[chosen].max(initial=0)),
            )
        )
    return tuple(points)
