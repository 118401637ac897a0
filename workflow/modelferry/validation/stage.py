"""Validation of one artifact in one runtime: the bytes that ship, loaded by a process that did not make them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
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
from modelferry.formats import Format, Runner
from modelferry.records import (
    Control,
    IllConditioned,
    Manifest,
    ShapePoint,
    Template,
    Tolerance,
    Validation,
)
from modelferry.runtimes import in_runtime
from modelferry.validation.compare import Outputs, area_under_curve, argmax_flips, softmax, within
from modelferry.validation.controls import broken_runners
from modelferry.validation.probes import Probe
from modelferry.validation.recording import Recording
from modelferry.validation.reference import evaluate
from modelferry.validation.verdict import Judgement, judge, judge_damage, with_bitwise, with_controls

if TYPE_CHECKING:
    from modelferry.plan import PlannedModel

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
    family, target = load_family(spec.family), in_runtime(spec.format, runtime)
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
    controls: tuple[Control, ...] = ()
    if manifest.exactness == "exact":
        template = Path(Template.read(spec.record).file.path)
        controls = run_controls(family, target, contract, template, weights, run, recording.ordinary(), tolerance)
        verdict = with_controls(with_bitwise(judgement.verdict, target.bitwise, apart), controls)
    else:
        limits = model.validation
        verdict = judge_damage(outputs, score_shift, delta_auc, limits.max_score_shift, limits.max_delta_auc)
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
