"""Validation of one artifact in one runtime: the bytes that ship, loaded by a process that did not make them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
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
from modelferry.records import Control, Manifest, Template, Tolerance, Validation
from modelferry.validation.controls import broken_runners
from modelferry.validation.examination import examine, judge_outputs
from modelferry.validation.probes import Probe
from modelferry.validation.recording import Recording
from modelferry.validation.reference import evaluate
from modelferry.validation.verdict import with_bitwise, with_controls

if TYPE_CHECKING:
    from modelferry.plan import PlannedModel


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
    found = examine(run, family, contract, recording, tolerance, manifest.exactness, model.validation)
    probed, artifact = found.compared.recording, found.compared.outputs
    trained = trained_weights(planned, family)
    weights = family.rewritten_weights(trained, spec.hyperparameters, spec.layout, spec.transforms)
    deployable = family.rewritten(spec.hyperparameters, spec.layout, spec.transforms)
    deployable.load_state_dict(weights)
    eager = evaluate(deployable.eval(), family, contract, probed.probes)
    apart = max(float(np.abs(artifact[name] - eager[name]).max(initial=0)) for name in eager)
    verdict, controls = found.verdict, tuple[Control, ...]()
    if manifest.exactness == "exact":
        template = Path(Template.read(spec.record).file.path)
        controls = run_controls(family, target, contract, template, weights, run, probed.ordinary(), tolerance)
        verdict = with_controls(with_bitwise(verdict, target.bitwise, apart), controls)
    difference = found.judgement.regular
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
        shapes=found.points,
        outside=found.outside,
        properties=found.properties,
        **vars(found.decisions),
        ill_conditioned=len(np.unique(probed.distinct[found.judgement.near_tie])),
        ill_conditioned_events=found.near_ties(contract.outputs[0].name),
        controls=controls,
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )


def run_probes(run: Runner, family: Family, contract: Contract, probes: Sequence[Probe]) -> Arrays:
    """Return the outputs of a loaded artifact on all probes by name, one row an event."""
    rows = [run(family.collate(probe.events, contract.layout)) for probe in probes]
    return {tensor.name: np.concatenate([row[tensor.name] for row in rows]) for tensor in contract.outputs}


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


def _check_origin(path: Path, manifest: Manifest, recording: Recording) -> None:
    if not path.is_file() or sha256_of_file(path) != manifest.artifact.sha256:
        raise ArtifactError(f"{path} is not the file that its manifest describes", "export it again")
    if recording.checkpoint_sha256 != manifest.checkpoint.sha256:
        raise ArtifactError(f"{path} and the recorded reference have different weights", "run `snakemake` again")
