"""Validation of one artifact in one runtime: the bytes that ship, loaded by a process that did not make them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry.checkpoints.reader import fit
from modelferry.comparison.difference import by_event
from modelferry.core import paths
from modelferry.core.contract import Arrays, Contract
from modelferry.core.environment import describe
from modelferry.core.errors import ArtifactError, CheckpointError
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.families.probes import evaluate
from modelferry.families.weights import trained_weights
from modelferry.formats import Runner, load_format
from modelferry.formats.shared.weight_readback import altered
from modelferry.formats.shared.weight_readback import describe as weights_reason
from modelferry.records.export import Manifest, Template
from modelferry.records.residuals import sketch
from modelferry.records.validation import Control, Validation
from modelferry.runtimes import runtime_of
from modelferry.stages.validation.checks import examine
from modelferry.stages.validation.controls import Whole, differ, run_controls
from modelferry.stages.validation.fault_matching import resembling
from modelferry.stages.validation.recording import Recording, ordinary
from modelferry.stages.validation.verdict import with_bitwise, with_controls, with_findings

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel
    from modelferry.plan.templates import TemplateSpec


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
    family, target, executes = planned.family, load_format(spec.format), runtime_of(spec.format, runtime)
    manifest = Manifest.read(paths.manifest(model.id, export))
    path = Path(manifest.artifact.path)
    _check_origin(path, manifest, recording)
    contract, output = manifest.contract, manifest.contract.outputs[0].name
    run = executes.load(target, path, threads=1)
    found = examine(run, family, contract, recording, tolerance, manifest.exactness, model.validation)
    probed, artifact = found.compared.recording, found.compared.outputs
    trained = trained_weights(family, planned.hyperparameters, planned.model.checkpoint)
    weights = family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
    deployable = family.rewritten(spec.hyperparameters, spec.layout, spec.transforms)
    deployable.load_state_dict(weights)
    eager = evaluate(deployable.eval(), family, contract, probed.probes)
    apart = max(float(np.abs(artifact[name] - eager[name]).max(initial=0)) for name in eager)
    inside = target.read_weights(path) if target.exactness == "exact" else {}
    findings = [weights_reason(altered(inside, weights)), unsteady(run, family, contract, probed, artifact)]
    verdict = with_bitwise(found.verdict, target.is_bitwise(spec.options), apart)
    verdict = with_findings(verdict, list(filter(None, findings)), resembling(probed, artifact, tolerance))
    controls: tuple[Control, ...] = ()
    if manifest.exactness == "exact" and verdict.passed:  # a broken artifact may be mended by the mistake of a control
        template = Path(Template.read(spec.record).file.path)
        whole = Whole(family, target, contract, template, weights, run, executes)
        controls = run_controls(whole, probed, tolerance, another_fold(planned, spec, family, others, weights))
        verdict = with_controls(verdict, controls)
    difference, regular = found.judgement.regular, ~found.judgement.near_tie
    kept = artifact[output][regular].astype(np.float64) - probed.float32[output][regular]
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
        weights_compared=len(inside),
        sketch=sketch(kept, found.numbers[regular], len(recording.labels)),
        shapes=found.points,
        outside=found.outside,
        properties=found.properties,
        **vars(found.decisions),
        ill_conditioned=len(np.unique(probed.distinct[found.judgement.near_tie])),
        ill_conditioned_events=found.near_ties(output),
        controls=controls,
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )


def unsteady(run: Runner, family: Family, contract: Contract, recording: Recording, artifact: Arrays) -> str:
    """Return that an artifact gives other outputs for the same inputs, if it does."""
    starts = np.cumsum([0, *(len(probe.events) for probe in recording.probes)])
    for place in ordinary(recording.probes):
        rows = {name: values[starts[place] : starts[place + 1]] for name, values in artifact.items()}
        if len(recording.probes[place].events) == 1 or not all(np.isfinite(row).all() for row in rows.values()):
            continue
        again = run(family.collate(recording.probes[place].events, contract.layout))
        same = all(np.array_equal(by_event(again[name]), row) for name, row in rows.items())
        return "" if same else "it gives other outputs for the same inputs, as a network in training mode does"
    return ""


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
            state = fit(family.load_weights(path, planned.hyperparameters), trained, path)
        except CheckpointError:
            continue
        found = family.rewritten_weights(state, spec.hyperparameters, spec.layout, spec.transforms)
        if differ(found, weights):
            return found
    return None


def _check_origin(path: Path, manifest: Manifest, recording: Recording) -> None:
    if not manifest.artifact.intact:
        raise ArtifactError(f"{path} is not the file that its manifest describes", "export it again")
    if recording.checkpoint_sha256 != manifest.checkpoint.sha256:
        raise ArtifactError(f"{path} and the recorded reference have different weights", "run `snakemake` again")
