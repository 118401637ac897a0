"""Comparing artifacts with the network as trained, and looking into what differs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shlex
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from modelferry.cli.jobs import chosen, exit_code, exports_of, in_parts, plan_of
from modelferry.core import paths
from modelferry.core.errors import ArtifactError, ConfigError, did_you_mean
from modelferry.core.file_kinds import in_its_place
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import CERTIFY, VALIDATE, WEIGHT_SETS
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation
from modelferry.runtimes import runtimes_of

OTHERS = 3
"""Number of other models whose checkpoints are tried as weights of another fold."""


def reference(options: argparse.Namespace) -> int:
    """Record probes and the outputs of the network as trained, in float64 and float32."""
    return exit_code((_record(planned, options) for planned in chosen(plan_of(options), options)), options)


def _record(planned: PlannedModel, options: argparse.Namespace) -> bool:
    from modelferry.stages.validation.reference import record_reference

    def run() -> list[str]:
        record_reference(planned).write(paths.reference(planned.id))
        return []

    return in_parts(VALIDATE, planned.id, {"": run}, options, whole=False)


def validate(options: argparse.Namespace) -> int:
    """Compare artifacts with the network as trained.

    With other tolerances or events than the config's, the verdict is printed, and the workflow's record is not changed.
    """
    manifests = [_manifest(Path(file)) for file in options.artifact]
    plan = plan_of(options)
    jobs = [(plan.model(manifest.model), [manifest.export]) for manifest in manifests]
    jobs = jobs or [(planned, exports_of(planned, options)) for planned in chosen(plan, options)]
    return exit_code([_validate_model(plan, planned, exports, options) for planned, exports in jobs], options)


def _validate_model(plan: Plan, planned: PlannedModel, exports: Sequence[str], options: argparse.Namespace) -> bool:
    """Validate exports of a model in their runtimes; return whether nothing failed, verdicts included."""
    from modelferry.stages.validation.model import validate_model

    asked = {key: getattr(options, key) for key in ("rtol", "atol", "events") if getattr(options, key) is not None}
    whole = not (asked or options.format or options.artifact or options.runtime)
    if "events" in asked:
        settings = planned.model.validation.model_copy(update={"events": asked["events"]})
        planned = dataclasses.replace(planned, model=dataclasses.replace(planned.model, validation=settings))
    every = validate_model(planned, exports, _others(plan, planned), anew=whole or "events" in asked)
    passed = True
    certificates: dict[str, None] = {}

    def run(name: str) -> list[str]:
        nonlocal passed
        runtimes = [r for r in runtimes_of(planned.model.export(name).format) if options.runtime in (None, r)]
        files = [paths.validation(planned.id, name, runtime) for runtime in runtimes]
        if not asked:
            for file in files:
                Path(file).unlink(missing_ok=True)
        tolerance = planned.tolerance(name).model_copy(update={k: v for k, v in asked.items() if k != "events"})
        for runtime, file in zip(runtimes, files, strict=True):
            record = every(name, runtime, tolerance)
            if not asked:
                record.write(file)
            _print_verdict(record, name)
            certificates.update(dict.fromkeys(filter(None, [record.certificate])))
            passed &= record.status == "passed"
        return [*files, paths.reference(planned.id)]

    parts = {name: partial(run, name) for name in exports}
    return in_parts(VALIDATE, planned.id, parts, options, whole, certificates) and passed


def certify(options: argparse.Namespace) -> int:
    """Prove once of a template what no weights can change, in each of its runtimes."""
    from modelferry.stages.export.artifact import export_model
    from modelferry.stages.validation.certification import certify as certify_template
    from modelferry.stages.validation.weight_sets import stand_ins

    known = plan_of(options).certified
    if options.key not in known:
        raise ConfigError(f"template '{options.key}' is not to be certified", did_you_mean(options.key, known))
    planned, export = known[options.key]

    @cache
    def filled() -> None:
        for stand_in in stand_ins(planned):
            export_model(stand_in, export)

    def run(runtime: str) -> list[str]:
        filled()
        path = paths.certificate(options.key, runtime)
        Path(path).unlink(missing_ok=True)
        certificate = certify_template(planned, export, runtime)
        certificate.write(path)
        print(f"{certificate.status} {options.key} in {runtime} {certificate.reason}".rstrip())
        return [path]

    parts = {runtime: partial(run, runtime) for runtime in runtimes_of(planned.model.export(export).format)}
    return exit_code([in_parts(CERTIFY, f"templates/{options.key}", parts, options, whole=True)], options)


def weight_sets(options: argparse.Namespace) -> int:
    """Draw the random weights that templates of an architecture are certified with."""
    from modelferry.stages.validation.weight_sets import draw_weight_sets

    plan = plan_of(options)
    known = {planned.architecture for planned, _ in plan.certified.values()}
    if options.architecture not in known:
        remedy = did_you_mean(options.architecture, known)
        raise ConfigError(f"architecture '{options.architecture}' is not to be certified", remedy)
    planned = plan.prototype(options.architecture)
    parts = {"": lambda: list(draw_weight_sets(planned))}
    return exit_code([in_parts(WEIGHT_SETS, f"templates/{options.architecture}", parts, options, whole=True)], options)


def diagnose(options: argparse.Namespace) -> int:
    """Find the first layer in which an artifact departs from the network as trained, and its worst event."""
    from modelferry.stages.validation.diagnosis import diagnose as describe_departure
    from modelferry.stages.validation.model import recording_of

    planned = plan_of(options).model(options.id)
    name = planned.model.export(options.export).name
    print(f"{planned.id} {name}")
    for line in describe_departure(planned, name, planned.tolerance(name), recording_of(planned)):
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
    if said := in_its_place(path, "artifact"):
        raise ArtifactError(*said)
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
    models = [model for model in plan.listed.values() if model.campaign == planned.model.campaign]
    index = next(index for index, model in enumerate(models) if model.id == planned.id)
    following = [*models[index + 1 :], *models[:index]]
    return [model.checkpoint for model in following if Path(model.checkpoint).is_file()][:OTHERS]


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
