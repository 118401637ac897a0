"""Validation of one artifact in one runtime: the bytes that ship, loaded by a process that did not make them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry import paths
from modelferry.checkpoints import fit, load_state_dict
from modelferry.contract import Arrays, Contract
from modelferry.digests import sha256_of_file
from modelferry.environment import describe
from modelferry.errors import ArtifactError, CheckpointError
from modelferry.export import trained_weights
from modelferry.families import Family, load_family
from modelferry.formats import Runner, load_format
from modelferry.records import (
    Control,
    IllConditioned,
    Manifest,
    ShapePoint,
    Template,
    Tolerance,
    Validation,
)
from modelferry.sketch import sketch
from modelferry.validation.compare import Outputs, area_under_curve, argmax_flips, softmax, within
from modelferry.validation.controls import Whole, differ, run_controls
from modelferry.validation.eager import evaluate
from modelferry.validation.probes import Probe
from modelferry.validation.recording import Recording
from modelferry.validation.resemblance import resembling
from modelferry.validation.verdict import (
    Judgement,
    judge,
    judge_damage,
    with_bitwise,
    with_controls,
    with_findings,
)
from modelferry.validation.weights_inside import altered
from modelferry.validation.weights_inside import describe as weights_reason

if TYPE_CHECKING:
    from modelferry.plan import PlannedModel, TemplateSpec

LISTED = 20
"""Ill-conditioned events that are written out."""


def validate_artifact(
    planned: PlannedModel,
    export: str,
    runtime: str,
    tolerance: Tolerance,
    recording: Recording,
    others: Sequence[str] = (),
) -> Validation:
    """Compare an artifact with the recorded outputs of its reference, controls included.

    Parameters
    ----------
    others
        Checkpoints of other models of the campaign: one of them serves as a control, if there is one that fits.

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
    probes = recording.probes
    output = contract.outputs[0].name
    run = target.load(path, threads=1)
    artifact = run_probes(run, family, contract, probes)
    judgement = judge_outputs(recording, artifact, tolerance, contract, family.special(0))
    trained = trained_weights(planned, family)
    weights = family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
    deployable = family.rewritten(spec.hyperparameters, spec.layout, spec.transforms)
    deployable.load_state_dict(weights)
    eager = evaluate(deployable.eval(), family, contract, probes)
    apart = max(float(np.abs(artifact[name] - eager[name]).max(initial=0)) for name in eager)
    outputs = Outputs(recording.float64[output], recording.float32[output], artifact[output])
    score_shift = float(np.abs(softmax(outputs.artifact) - softmax(outputs.float32)).max(initial=0))
    before, after = auc(recording, recording.float32[output]), auc(recording, artifact[output])
    delta_auc = max((abs(after[name] - before[name]) for name in before), default=None)
    inside = target.read_weights(path) if target.exactness == "exact" else {}
    findings = [weights_reason(altered(inside, weights)), unsteady(run, family, contract, recording, artifact)]
    limits = model.validation
    if manifest.exactness == "exact":
        verdict = judgement.verdict
    else:
        verdict = judge_damage(outputs, score_shift, delta_auc, limits.max_score_shift, limits.max_delta_auc)
    verdict = with_bitwise(verdict, target.bitwise, apart)
    verdict = with_findings(verdict, list(filter(None, findings)), resembling(recording, artifact, tolerance))
    controls: tuple[Control, ...] = ()
    if (
        manifest.exactness == "exact" and verdict.passed
    ):  # what is broken may be mended by the very mistake of a control
        template = Path(Template.read(spec.record).file.path)
        whole = Whole(family, target, contract, template, weights, run)
        controls = run_controls(whole, recording, tolerance, another_fold(planned, spec, family, others, weights))
        verdict = with_controls(verdict, controls)
    difference = judgement.regular
    return Validation(
        model=model.id,
        format=spec.format,
        layout=spec.layout,
        runtime=runtime,
        artifact_sha256=manifest.artifact.sha256,
        exactness=manifest.exactness,
        status=verdict.status,
        reason=verdict.reason,
        tolerance=tolerance,
        events=len(recording.labels),
        max_abs_diff=difference.max_abs,
        max_rel_diff=difference.max_rel,
        max_ulps=difference.max_ulps,
        error_float64=difference.error,
        reference_error_float64=difference.reference_error,
        error_ratio_float64=difference.error_ratio,
        smallest_rtol=difference.smallest_rtol,
        smallest_atol=difference.smallest_atol,
        deployable_max_abs_diff=apart,
        weights_compared=len(inside),
        sketch=sketch(outputs.artifact, outputs.float32, judgement.near_tie),
        shapes=shape_points(outputs, recording, judgement, tolerance),
        argmax_flips=argmax_flips(outputs),
        max_score_shift=score_shift,
        delta_auc=delta_auc,
        auc=after,
        ill_conditioned=int(judgement.near_tie.sum()),
        ill_conditioned_events=near_ties(outputs, recording, judgement),
        controls=controls,
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )


def run_probes(run: Runner, family: Family, contract: Contract, probes: Sequence[Probe]) -> Arrays:
    """Return the outputs of a loaded artifact on all probes by name, one row an event."""
    rows = [run(family.collate(probe.events, contract.layout)) for probe in probes]
    return {tensor.name: np.concatenate([row[tensor.name] for row in rows]) for tensor in contract.outputs}


def unsteady(run: Runner, family: Family, contract: Contract, recording: Recording, artifact: Arrays) -> str:
    """Return that an artifact gives other outputs for the same inputs, if it does."""
    place = max(range(len(recording.probes)), key=lambda place: len(recording.probes[place].events))
    start = sum(len(probe.events) for probe in recording.probes[:place])
    again = run_probes(run, family, contract, recording.probes[place : place + 1])
    same = all(np.array_equal(rows, artifact[name][start : start + len(rows)], True) for name, rows in again.items())
    return "" if same else "it gives other outputs for the same inputs, as a network in training mode does"


def another_fold(
    planned: PlannedModel,
    spec: TemplateSpec,
    family: Family,
    others: Sequence[str],
    weights: Mapping[str, torch.Tensor],
) -> Mapping[str, torch.Tensor] | None:
    """Return the deployable's weights for the first checkpoint among `others` that fits it and is another."""
    trained = family.deployable(planned.hyperparameters, family.reference_layout)
    for path in others:
        try:
            state = fit(load_state_dict(path), trained, path)
        except CheckpointError:
            continue
        found = family.rewritten_weights(state, spec.hyperparameters, spec.layout, spec.transforms)
        if differ(found, weights):
            return found
    return None


def judge_outputs(
    recording: Recording, artifact: Arrays, tolerance: Tolerance, contract: Contract, awkward: Collection[str] = ()
) -> Judgement:
    """Judge all outputs, and return the judgement of the first that fails, or else of the first output."""
    judgements = []
    for tensor in contract.outputs:
        name = tensor.name
        outputs = Outputs(recording.float64[name], recording.float32[name], artifact[name], recording.shaken[name])
        judgements.append(judge(outputs, recording.labels, tolerance, awkward))
    return next((judgement for judgement in judgements if not judgement.verdict.passed), judgements[0])


def shape_points(
    outputs: Outputs, recording: Recording, judgement: Judgement, tolerance: Tolerance
) -> tuple[ShapePoint, ...]:
    """Return the result of each group of probes; within a group only the tolerance or the overall verdict count."""
    labels, regular = recording.labels, ~judgement.near_tie
    agree = within(outputs.artifact, outputs.float32, tolerance) | judgement.near_tie
    points = []
    for label in dict.fromkeys(labels.tolist()):
        members = labels == label
        apart = np.abs(outputs.artifact - outputs.float32)[members & regular]
        passed = judgement.verdict.passed or agree[members].all()
        largest = float(np.nan_to_num(apart, nan=np.inf).max(initial=0))
        points.append(
            ShapePoint(
                label=label, events=int(members.sum()), max_abs_diff=largest, status="passed" if passed else "failed"
            )
        )
    return tuple(points)


def near_ties(outputs: Outputs, recording: Recording, judgement: Judgement) -> tuple[IllConditioned, ...]:
    """Return the ill-conditioned events, so that one can look at them."""
    return tuple(
        IllConditioned(
            event=int(event),
            source=f"{recording.sources[event]}, {recording.labels[event]}",
            reference_float32=tuple(map(float, outputs.float32[event])),
            reference_float64=tuple(map(float, outputs.float64[event])),
            artifact=tuple(map(float, outputs.artifact[event])),
        )
        for event in np.flatnonzero(judgement.near_tie)[:LISTED]
    )


def auc(recording: Recording, logits: np.ndarray) -> dict[str, float]:
    """Return the area under the ROC curve of each pair of classes among the labelled events, by ``a/b``."""
    scores, found = softmax(logits), {}
    present = sorted(set(recording.classes.tolist()) - {-1})
    for position, first in enumerate(present):
        for second in present[position + 1 :]:
            chosen = np.isin(recording.classes, (first, second))
            share = scores[chosen, first] / (scores[chosen, first] + scores[chosen, second])
            of_first = recording.classes[chosen] == first
            found[f"{first}/{second}"] = area_under_curve(share[of_first], share[~of_first])
    return found


def _check_origin(path: Path, manifest: Manifest, recording: Recording) -> None:
    if not path.is_file() or sha256_of_file(path) != manifest.artifact.sha256:
        raise ArtifactError(f"{path} is not the file that its manifest describes", "export it again")
    if recording.checkpoint_sha256 != manifest.checkpoint.sha256:
        raise ArtifactError(f"{path} and the recorded reference have different weights", "run `snakemake` again")
