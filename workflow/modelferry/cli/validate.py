"""Comparing artifacts with the network as trained, and looking into what differs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.cli.jobs import chosen, chosen_exports, for_each, for_each_model, plan_of, reported
from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ConfigError
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import REFERENCE, VALIDATE
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation
from modelferry.runtimes import runtimes_of

if TYPE_CHECKING:
    from modelferry.stages.validation.recording import Recording


OTHERS = 3
"""Number of other models whose checkpoints are tried as weights of another fold."""


def reference(options: argparse.Namespace) -> int:
    """Record probes and the outputs of the network as trained, in float64 and float32."""
    from modelferry.stages.validation.reference import record_reference

    def run(planned: PlannedModel) -> None:
        with reported(REFERENCE, planned.id):
            record_reference(planned).write(paths.reference(planned.id))

    return for_each_model(options, run)


def validate(options: argparse.Namespace) -> int:
    """Compare artifacts with the network as trained.

    With other tolerances or events than the config's, the verdict is printed, and the workflow's record is not changed.
    """
    manifests = [_manifest(Path(file)) for file in options.artifact]
    plan = plan_of(options)
    jobs = [(plan.model(manifest.model), manifest.export) for manifest in manifests] or chosen_exports(plan, options)
    failed: list[str] = []

    def run(planned: PlannedModel, name: str) -> None:
        for runtime in runtimes_of(planned.model.export(name).format):
            if options.runtime in (None, runtime):
                record = _validate(planned, name, runtime, options, _others(plan, planned))
                _print_verdict(record, name)
                if record.status == "failed":
                    failed.append(planned.id)

    code = for_each(options, jobs, run)
    return code or (1 if failed and not options.exit_zero else 0)


def diagnose(options: argparse.Namespace) -> int:
    """Find the first layer in which an artifact departs from the network as trained, and its worst event."""
    from modelferry.stages.validation.diagnosis import diagnose as describe_departure

    planned = plan_of(options).model(options.id)
    name = planned.model.export(options.export).name
    print(f"{planned.id} {name}")
    for line in describe_departure(planned, name, planned.tolerance(name), _recording(planned)):
        print(f"  {line}")
    return 0


def event(options: argparse.Namespace) -> int:
    """Show a recorded event of a model, by the number that a validation lists it under: inputs and outputs, as JSON."""
    from modelferry.stages.validation.recording import Recording

    for planned in chosen(plan_of(options), options):
        recording = Recording.read(paths.reference(planned.id))
        if not 0 <= options.number < len(recording.labels):
            raise ConfigError(f"{planned.id} has no event {options.number}", f"0 to {len(recording.labels) - 1}")
        print(json.dumps({"model": planned.id, **recording.event_facts(options.number)}, indent=1))
    return 0


def _manifest(path: Path) -> Manifest:
    """Return the manifest beside an artifact; raise `ArtifactError` if there is none, or it describes another file."""
    if not path.is_file():
        raise ArtifactError(f"there is no artifact {path}", "export it first, or choose models with --model")
    beside = path.parent / "manifest.json"
    if not beside.is_file():
        remedy = f"compare it with what it was made from: modelferry compare CHECKPOINT {shlex.quote(str(path))}"
        raise ArtifactError(f"{path} has no {beside.name} beside it, as artifacts of the workflow have", remedy)
    manifest = Manifest.read(beside)
    if not manifest.artifact.intact or not path.samefile(manifest.artifact.path):
        raise ArtifactError(f"{path} is not the artifact that its manifest describes", "export it again")
    return manifest


def _others(plan: Plan, planned: PlannedModel) -> list[str]:
    """Return checkpoints of some other models of the campaign, the next ones first, that are there."""
    models = [model for model in plan.config.models() if model.campaign == planned.model.campaign]
    index = next(index for index, model in enumerate(models) if model.id == planned.id)
    following = [*models[index + 1 :], *models[:index]]
    return [model.checkpoint for model in following if Path(model.checkpoint).is_file()][:OTHERS]


def _validate(
    planned: PlannedModel, name: str, runtime: str, options: argparse.Namespace, others: Sequence[str]
) -> Validation:
    from modelferry.stages.validation.reference import record_reference
    from modelferry.stages.validation.stage import validate_artifact

    asked = {key: getattr(options, key) for key in ("rtol", "atol", "events") if getattr(options, key) is not None}
    tolerance = planned.tolerance(name).model_copy(update={k: v for k, v in asked.items() if k != "events"})
    with reported(VALIDATE, planned.id, name):
        if options.events is not None:
            settings = planned.model.validation.model_copy(update={"events": options.events})
            model = dataclasses.replace(planned.model, validation=settings)
            recording = record_reference(dataclasses.replace(planned, model=model))
        else:
            recording = _recording(planned)
        record = validate_artifact(planned, name, runtime, tolerance, recording, others)
        if not asked:
            record.write(paths.validation(planned.id, name, runtime))
    return record


def _recording(planned: PlannedModel) -> Recording:
    """Return what was recorded of a model's reference; record it if that was not done yet."""
    from modelferry.stages.validation.recording import Recording
    from modelferry.stages.validation.reference import record_reference

    path = paths.reference(planned.id)
    if not Path(path).is_file():
        record_reference(planned).write(path)
    return Recording.read(path)


def _print_verdict(record: Validation, name: str) -> None:
    numbers = f"{record.events} events, largest difference {record.max_abs_diff:.2g} ({record.max_ulps} ULP)"
    if math.isnan(record.max_abs_diff):
        numbers = f"{record.events} events, of which none was compared"
    limits = f"rtol {record.tolerance.rtol:g}, atol {record.tolerance.atol:g}, score shift {record.max_score_shift:.2g}"
    overall, worst = record.error_rms or 0, record.error_max or 0
    ratio = f"error against float64 {overall:.2g} × the reference's own, at worst {worst:.2g} ×"
    status = record.status if record.exactness == "exact" else f"{record.status} as an approximation:"
    print(f"{status} {record.model} {name} in {record.runtime}: {numbers}, {limits}, {ratio}")
    if record.reason:
        print(f"  {record.reason}")
