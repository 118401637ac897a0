"""Validation of one artifact in one runtime: the bytes that ship, loaded by a process that did not make them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry import paths
from modelferry.contract import Arrays, Contract
from modelferry.digests import sha256_of_file
from modelferry.environment import describe
from modelferry.errors import ArtifactError
from modelferry.export import trained_weights
from modelferry.families import Family, load_family
from modelferry.formats import Format, Runner, load_format
from modelferry.records import (
    Control,
    IllConditioned,
    Manifest,
    ShapePoint,
    Template,
    Tolerance,
    Validation,
)
from modelferry.validation.attempt import Attempt, attempt
from modelferry.validation.compare import Outputs, within
from modelferry.validation.controls import broken_runners
from modelferry.validation.decisions import decide, score_shift
from modelferry.validation.outside import not_finite, reject_all
from modelferry.validation.probes import Probe
from modelferry.validation.properties import measure
from modelferry.validation.recording import Recording
from modelferry.validation.reference import evaluate
from modelferry.validation.verdict import (
    Judgement,
    judge,
    judge_damage,
    with_bitwise,
    with_controls,
    with_outside,
    with_points,
    with_properties,
)

if TYPE_CHECKING:
    from modelferry.plan import PlannedModel

ANYTHING = Tolerance(rtol=0, atol=float("inf"))
"""Of approximations, batch mates of an event with numbers that are not finite must only stay finite."""
LISTED = 20
"""Ill-conditioned events that are written out."""


def validate_artifact(
    planned: PlannedModel, export: str, runtime: str, tolerance: Tolerance, recording: Recording
) -> Validation:
    """Compare an artifact with the recorded outputs of its reference, controls included.

    Raises
    ------
    ArtifactError
        If the artifact was altered after its export, or the recording is of other weights.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)
    model, spec = planned.model, planned.template(export)
    family, target = load_family(spec.family), load_format(spec.format)
    manifest = Manifest.read(paths.manifest(model.id, export))
    path = Path(manifest.artifact.path)
    _check_origin(path, manifest, recording)
    contract = manifest.contract
    run = target.load(path, threads=1)
    found = attempt(run, family, contract, recording)
    compared = found.part(found.within & found.finite_inputs)
    probed, artifact = compared.recording, compared.outputs
    judgement = judge_outputs(probed, artifact, tolerance, contract, awkward_groups(family))
    trained = trained_weights(planned, family)
    weights = family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
    deployable = family.rewritten(spec.hyperparameters, spec.layout, spec.transforms)
    deployable.load_state_dict(weights)
    eager = evaluate(deployable.eval(), family, contract, probed.probes)
    apart = max(float(np.abs(artifact[name] - eager[name]).max(initial=0)) for name in eager)
    output = contract.outputs[0].name
    outputs = Outputs(probed.float64[output], probed.float32[output], artifact[output])
    decisions = decide(contract, outputs, probed.classes, probed.distinct)
    limits = model.validation
    agree = within(outputs.artifact, outputs.float32, tolerance) | judgement.near_tie
    if manifest.exactness == "approximation":
        agree = score_shift(contract, outputs) <= limits.max_score_shift
    points = shape_points(found, compared, agree | judgement.verdict.passed, judgement.near_tie)
    near = tolerance if manifest.exactness == "exact" else ANYTHING
    outside = (*reject_all(run, contract, typical_inputs(family, contract)), *not_finite(found, near))
    results = measure(probed, artifact, judgement.near_tie, tolerance)
    controls: tuple[Control, ...] = ()
    if manifest.exactness == "exact":
        template = Path(Template.read(spec.record).file.path)
        controls = run_controls(family, target, contract, template, weights, run, probed.ordinary(), tolerance)
        verdict = with_bitwise(with_properties(judgement.verdict, results), target.bitwise, apart)
    else:
        verdict = judge_damage(
            outputs, decisions.max_score_shift, decisions.delta_auc, limits.max_score_shift, limits.max_delta_auc
        )
    verdict = with_outside(with_points(verdict, points, found.reasons), outside)
    verdict = with_controls(verdict, controls)
    difference = judgement.regular
    return Validation(
        model=model.id,
        format=spec.format,
        layout=spec.layout,
        runtime=runtime,
        artifact_sha256=manifest.artifact.sha256,
        status=verdict.status,
        reason=verdict.reason,
        tolerance=tolerance,
        events=len(np.unique(probed.distinct)),
        max_abs_diff=difference.max_abs,
        max_rel_diff=difference.max_rel,
        max_ulps=difference.max_ulps,
        error_float64=difference.error,
        reference_error_float64=difference.reference_error,
        error_ratio_float64=difference.error_ratio,
        smallest_rtol=difference.smallest_rtol,
        smallest_atol=difference.smallest_atol,
        deployable_max_abs_diff=apart,
        shapes=points,
        outside=outside,
        properties=results,
        **vars(decisions),
        ill_conditioned=len(np.unique(probed.distinct[judgement.near_tie])),
        ill_conditioned_events=near_ties(outputs, probed, judgement, found.rows(found.within & found.finite_inputs)),
        controls=controls,
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )


def run_probes(run: Runner, family: Family, contract: Contract, probes: Sequence[Probe]) -> Arrays:
    """Return the outputs of a loaded artifact on all probes by name, one row an event."""
    rows = [run(family.collate(probe.events, contract.layout)) for probe in probes]
    return {tensor.name: np.concatenate([row[tensor.name] for row in rows]) for tensor in contract.outputs}


def judge_outputs(
    recording: Recording, artifact: Arrays, tolerance: Tolerance, contract: Contract, awkward: Collection[str] = ()
) -> Judgement:
    """Judge all outputs, and return the judgement of the first that fails, or else of the first output."""
    judgements = []
    for tensor in contract.outputs:
        name = tensor.name
        outputs = Outputs(recording.float64[name], recording.float32[name], artifact[name], recording.shaken[name])
        judgements.append(judge(outputs, recording.labels, tolerance, awkward, recording.distinct))
    return next((judgement for judgement in judgements if not judgement.verdict.passed), judgements[0])


def awkward_groups(family: Family) -> frozenset[str]:
    """Return the labels of events that are made to be near a tie, or stand outside the contract."""
    return frozenset([*family.special(0), *family.documented(0)])


def typical_inputs(family: Family, contract: Contract) -> Arrays:
    """Return the inputs of a call of two events of typical size."""
    sizes = {name: contract.dimension(name).typical for name in family.sampled}
    return family.collate(family.sample({**sizes, family.batch: 2}, seed=0), contract.layout)


def run_controls(
    family: Family,
    target: Format,
    contract: Contract,
    template: Path,
    weights: Mapping[str, torch.Tensor],
    whole: Runner,
    recording: Recording,
    tolerance: Tolerance,
) -> tuple[Control, ...]:
    """Feed broken artifacts to the same judgement as the whole one."""
    found = []
    with tempfile.TemporaryDirectory(prefix="modelferry-controls-") as folder:
        for name, runners in broken_runners(family, target, contract, template, weights, whole, Path(folder)):
            for run in runners:
                artifact = run_probes(run, family, contract, recording.probes)
                judgement = judge_outputs(recording, artifact, tolerance, contract)
                seen = not judgement.verdict.passed
                if seen:
                    break
            found.append(Control(name=name, detected=seen, max_abs_diff=judgement.regular.max_abs))
    return tuple(found)


def shape_points(found: Attempt, compared: Attempt, agree: np.ndarray, near_tie: np.ndarray) -> tuple[ShapePoint, ...]:
    """Return the result of each group of probes.

    Parameters
    ----------
    found, compared
        All probes, and those that were compared: within the contract, and finite.
    agree, near_tie
        Which events were answered correctly, and which of them are near-ties, (events compared,).
    """
    probed, points = compared.recording, []
    name = next(iter(compared.outputs))
    apart = np.abs(compared.outputs[name] - probed.float32[name]).max(axis=1, initial=0)
    apart = np.where(near_tie, 0, np.nan_to_num(apart, nan=np.inf))
    probes = zip(found.recording.probes, found.within, found.answered, found.finite_inputs, strict=True)
    for label, group in groupby((entry for entry in probes if entry[3]), lambda entry: entry[0].label):
        members = list(group)
        here, refused = probed.labels == label, not all(answered for _, _, answered, _ in members)
        expected = all(allowed for _, allowed, _, _ in members)
        right = expected and bool(agree[here].all())
        points.append(
            ShapePoint(
                label=label,
                sizes=members[0][0].sizes,
                events=sum(len(probe.events) for probe, *_ in members),
                expected="correct" if expected else "rejected",
                outcome="rejected" if refused else "correct" if right else "silently wrong",
                max_abs_diff=0.0 if refused else float(apart[here].max(initial=0)),
            )
        )
    return tuple(points)


def near_ties(
    outputs: Outputs, recording: Recording, judgement: Judgement, numbers: np.ndarray
) -> tuple[IllConditioned, ...]:
    """Return the ill-conditioned events, each once, so that one can look at them: `modelferry event` shows inputs.

    `numbers` are those of the events in the whole recording, (events,).
    """
    rows = np.flatnonzero(judgement.near_tie)
    _, first = np.unique(recording.distinct[rows], return_index=True)
    return tuple(
        IllConditioned(
            event=int(numbers[event]),
            source=f"{recording.sources[event]}, {recording.labels[event]}",
            reference_float32=tuple(map(float, outputs.float32[event])),
            reference_float64=tuple(map(float, outputs.float64[event])),
            artifact=tuple(map(float, outputs.artifact[event])),
        )
        for event in rows[np.sort(first)][:LISTED]
    )


def _check_origin(path: Path, manifest: Manifest, recording: Recording) -> None:
    if not path.is_file() or sha256_of_file(path) != manifest.artifact.sha256:
        raise ArtifactError(f"{path} is not the file that its manifest describes", "export it again")
    if recording.checkpoint_sha256 != manifest.checkpoint.sha256:
        raise ArtifactError(f"{path} and the recorded reference have different weights", "run `snakemake` again")
