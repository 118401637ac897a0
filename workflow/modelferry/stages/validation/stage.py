"""Validation of one artifact in one runtime: the bytes that ship, loaded by a process that did not make them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelferry.comparison.determinism import ARTIFACT_IS_RANDOM, repeats
from modelferry.comparison.difference import by_event
from modelferry.core import paths
from modelferry.core.contract import Arrays, Contract
from modelferry.core.environment import describe
from modelferry.core.errors import ArtifactError, CheckpointError
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.families.probes import evaluate
from modelferry.formats import Runner
from modelferry.formats.shared.weight_readback import altered
from modelferry.formats.shared.weight_readback import describe as weights_reason
from modelferry.records.certificate import Certificate
from modelferry.records.export import Manifest, Template
from modelferry.records.residuals import pack
from modelferry.records.validation import Control, Validation
from modelferry.stages.validation.changed_weights import differ
from modelferry.stages.validation.checks import CheckResults, check_artifact
from modelferry.stages.validation.controls import SoundArtifact, run_controls
from modelferry.stages.validation.fault_matching import matching_faults
from modelferry.stages.validation.loaded_artifact import LoadedArtifact
from modelferry.stages.validation.perturbation import examiner_of
from modelferry.stages.validation.recording import Recording, ordinary
from modelferry.stages.validation.run_probes import ProbeResults
from modelferry.stages.validation.verdict import with_bitwise, with_controls, with_findings
from modelferry.stages.validation.warnings import network_warnings, real_events

if TYPE_CHECKING:
    from modelferry.families import StateDict
    from modelferry.plan.models import PlannedModel


def validate_artifact(
    planned: PlannedModel,
    export: str,
    runtime: str,
    tolerance: Tolerance,
    recording: Recording,
    others: Sequence[str] = (),
    certificate: Certificate | None = None,
) -> Validation:
    """Compare an artifact with the recorded outputs of its reference, controls included.

    Parameters
    ----------
    others
        Checkpoints of other models of the campaign: one of them serves as a control, if there is one that fits.
    certificate
        Of the artifact's template in this runtime: what it proves need not be proven again, once the artifact is shown
        to be that template with these weights, byte for byte.

    Raises
    ------
    ArtifactError
        If the artifact was altered after its export, or the recording is of other weights.
    """
    started = time.perf_counter()
    torch.set_num_threads(1)
    artifact = _load(planned, export, runtime, recording)
    manifest, limits = artifact.manifest, planned.model.validation
    recording = recording.as_delivered(artifact.contract)
    recording = replace(recording, examine=examiner_of(planned, recording, artifact.contract.scored))
    thorough = certificate is None
    results = check_artifact(
        artifact.run, artifact.family, artifact.contract, recording, tolerance, manifest.exactness, limits, thorough
    )
    weights, compared = artifact.weights(), results.compared
    probed, outputs = compared.recording, compared.outputs
    from_deployable = _difference_from_deployable(artifact, weights, compared) if thorough else None
    inside = artifact.weights_inside()
    findings = [
        weights_reason(altered(inside, weights)),
        "" if thorough else artifact.other_than_filled(weights),
        nondeterminism(artifact.run, artifact.family, artifact.contract, probed, outputs),
    ]
    verdict = results.verdict
    if from_deployable is not None:
        verdict = with_bitwise(verdict, artifact.target.is_bitwise(artifact.spec.options), from_deployable)
    verdict = with_findings(verdict, list(filter(None, findings)), matching_faults(probed, outputs, tolerance))
    controls: tuple[Control, ...] = ()
    if manifest.exactness == "exact" and verdict.passed:  # the mistake of a control may repair a broken artifact
        controls = _controls(artifact, weights, probed, tolerance, others, thorough)
        verdict = with_controls(verdict, controls)
    return Validation(
        model=planned.id,
        format=artifact.spec.format,
        layout=artifact.spec.layout,
        runtime=runtime,
        artifact_sha256=manifest.artifact.sha256,
        exactness=manifest.exactness,
        status=verdict.status,
        reason=verdict.reason,
        tolerance=tolerance,
        deployable_max_abs_diff=from_deployable,
        certificate="" if thorough else paths.certificate(artifact.spec.key, runtime),
        weights_compared=len(inside),
        **_facts(results, artifact.contract.outputs[0].name, len(recording.labels)),
        real_events=real_events(probed),
        warnings=network_warnings(probed, artifact.contract, results.properties),
        controls=controls,
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )


def _load(planned: PlannedModel, export: str, runtime: str, recording: Recording) -> LoadedArtifact:
    """Load an artifact; raise `ArtifactError` if it or its weights are not those that were exported and recorded."""
    manifest = Manifest.read(paths.manifest(planned.id, export))
    if not manifest.artifact.intact:
        reason = f"{manifest.artifact.path} is not the file that its manifest describes"
        raise ArtifactError(reason, "export it again")
    if manifest.checkpoint.sha256 != recording.checkpoint_sha256:
        reason = f"{manifest.artifact.path} and the recorded reference have different weights"
        raise ArtifactError(reason, "run `snakemake` again")
    return LoadedArtifact.of(planned, export, manifest, runtime)


def _difference_from_deployable(artifact: LoadedArtifact, weights: StateDict, answers: ProbeResults) -> float:
    """Return the largest difference of an artifact from its deployable in eager mode."""
    eager = evaluate(artifact.deployable(weights), artifact.family, artifact.contract, answers.recording.probes)
    return max(float(np.abs(answers.outputs[name] - eager[name]).max(initial=0)) for name in eager)


def certificate_of(planned: PlannedModel, export: str, runtime: str) -> Certificate | None:
    """Return the certificate of the template that an artifact was filled from, if it has one and passed."""
    path = paths.certificate(planned.template(export).key, runtime)
    if planned.model.validation.thorough or not Path(path).is_file():
        return None
    certificate = Certificate.read(path)
    filled_from = Manifest.read(paths.manifest(planned.id, export)).template_sha256
    return certificate if (certificate.status, certificate.template_sha256) == ("passed", filled_from) else None


def _controls(
    artifact: LoadedArtifact,
    weights: StateDict,
    recording: Recording,
    tolerance: Tolerance,
    others: Sequence[str],
    thorough: bool,
) -> tuple[Control, ...]:
    """Introduce every fault into an artifact that passed, and return whether each is seen."""
    template = Path(Template.read(artifact.spec.record).file.path)
    sound = SoundArtifact(
        artifact.family, artifact.target, artifact.contract, template, weights, artifact.run, artifact.runtime
    )
    another = _another_fold(artifact, others, weights) if thorough else None
    return run_controls(sound, recording, tolerance, another, thorough)


def _another_fold(artifact: LoadedArtifact, others: Sequence[str], weights: StateDict) -> StateDict | None:
    """Return the deployable's weights for the first checkpoint among `others` that fits it and is another."""
    for path in others:
        try:
            candidate = artifact.weights(path)
        except CheckpointError:
            continue
        if differ(candidate, weights):
            return candidate
    return None


def _facts(results: CheckResults, output: str, recorded: int) -> dict[str, Any]:
    """Return what a record says of the comparison: of one `output`, of decisions, sizes, properties, malformed inputs.

    `recorded` is the number of events in the whole recording.
    """
    probed, difference, near_tie = results.compared.recording, results.judgement.regular, results.judgement.near_tie
    residuals = results.compared.outputs[output][~near_tie].astype(np.float64) - probed.float32[output][~near_tie]
    return {
        "events": len(np.unique(probed.distinct)),
        "max_abs_diff": difference.max_abs,
        "max_rel_diff": difference.max_rel,
        "max_ulps": difference.max_ulps,
        "error_float64": difference.error,
        "reference_error_float64": difference.reference_error,
        "error_ratio_float64": difference.error_ratio,
        "error_rms": _known(results.judgement.bulk),
        "error_max": _known(results.judgement.tail),
        "allowed_share": _known(results.judgement.share),
        "smallest_rtol": difference.smallest_rtol,
        "smallest_atol": difference.smallest_atol,
        "sketch": pack(residuals, results.numbers[~near_tie], recorded),
        "ill_conditioned": len(np.unique(probed.distinct[near_tie])),
        "ill_conditioned_events": results.near_ties(output),
        "shapes": results.points,
        "outside": results.outside,
        "properties": results.properties,
        **vars(results.decisions),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def nondeterminism(run: Runner, family: Family, contract: Contract, recording: Recording, artifact: Arrays) -> str:
    """Return that an artifact gives other outputs for the same inputs, if it does."""
    starts = np.cumsum([0, *(len(probe.events) for probe in recording.probes)])
    for index in ordinary(recording.probes):
        rows = {name: values[starts[index] : starts[index + 1]] for name, values in artifact.items()}
        if len(recording.probes[index].events) == 1 or not all(np.isfinite(row).all() for row in rows.values()):
            continue
        again = run(family.inputs_of(recording.probes[index].events, contract))
        return "" if repeats(rows, {name: by_event(values) for name, values in again.items()}) else ARTIFACT_IS_RANDOM
    return ""
