"""From the JSON files of the workflow to one summary, whatever is there and whatever failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.core.environment import describe
from modelferry.core.errors import ArtifactError
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel, unavailable
from modelferry.plan.stages import EMBED, EXPLORE, OF_MODELS, TEMPLATE
from modelferry.records import Record
from modelferry.records.benchmark import Benchmark, BenchmarkRow
from modelferry.records.demo import DemoTraining
from modelferry.records.export import Manifest, Template
from modelferry.records.failure import Failure
from modelferry.records.summary import (
    Summary,
    SummaryArtifact,
    SummaryBenchmark,
    SummaryCheckpoint,
    SummaryComparison,
    SummaryControl,
    SummaryModel,
    SummaryTemplate,
    SummaryValidation,
)
from modelferry.records.validation import BLIND, Validation
from modelferry.runtimes import runtimes_of
from modelferry.stages.report.artifact_matrix import compare
from modelferry.stages.report.probes import collect_probes

R = TypeVar("R", bound=Record)


def collect(plan: Plan) -> tuple[Summary, dict[str, Contract]]:
    """Return the summary of all models of a plan, and the contracts of their exports by ``campaign/layout``.

    What belongs to other bytes than those that are there now (a validation of an earlier artifact, say) does not count.
    """
    contracts: dict[str, Contract] = {}
    models = tuple(_model(planned, contracts) for planned in plan.models.values())
    validated = {name: list(_validations(planned)) for name, planned in plan.runnable.items()}
    controls = _controls([record for found in validated.values() for _, record in found])
    complete = all(model.status == "passed" for model in models) and all(control.detected for control in controls)
    summary = Summary(
        verdict="passed" if complete and models else "failed",
        generated=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe(),
        templates=tuple(_templates(plan)),
        controls=controls,
        comparisons=tuple(_comparisons(plan, validated)),
        probes=collect_probes(_with_campaigns(plan, validated)),
        models=models,
        runtimes_not_run=plan.runtimes_not_run,
    )
    return summary, contracts


def _with_campaigns(
    plan: Plan, validated: Mapping[str, Sequence[tuple[str, Validation]]]
) -> Iterator[tuple[str, str, Validation]]:
    for name, found in validated.items():
        for export, record in found:
            yield plan.runnable[name].model.campaign, export, record


def _model(planned: PlannedModel, contracts: dict[str, Contract]) -> SummaryModel:
    model = planned.model
    artifacts: list[SummaryArtifact] = []
    baseline: tuple[SummaryBenchmark, ...] = ()
    problems, parameters = list(_failures(planned)), None
    checkpoint = SummaryCheckpoint(path=model.checkpoint, sha256="")
    for export in model.exports if not model.missing else ():
        if lacking := unavailable(export.format):
            problems.append(f"{export.name}: {lacking}")
            continue
        manifest = _read(Manifest, paths.manifest(model.id, export.name))
        if manifest is None or not manifest.artifact.present:
            problems = problems or [f"{export.name}: was not exported"]
            continue
        place = f"{model.campaign}/{manifest.layout}"
        if manifest.exactness == "exact" or place not in contracts:
            contracts[place] = manifest.contract
        parameters, checkpoint = manifest.parameters, SummaryCheckpoint(
            path=manifest.checkpoint.path, sha256=manifest.checkpoint.sha256
        )  # fmt: skip
        artifact, found = _artifact(manifest, runtimes_of(export.format))
        artifacts.append(artifact)
        problems += [f"{export.name}: {problem}" for problem in found]
        baseline = baseline or _baseline(manifest, runtimes_of(export.format))
    reason = model.missing or "; ".join(dict.fromkeys(problems))
    training = _read(DemoTraining, paths.training(model.checkpoint)) if model.demo else None
    return SummaryModel(
        id=model.id,
        campaign=model.campaign,
        family=model.family,
        axes=model.axes,
        status="missing" if model.missing else "failed" if problems else "passed",
        reason=reason,
        demo=model.demo,
        checkpoint=checkpoint,
        architecture=planned.architecture,
        parameters=parameters,
        hyperparameters=planned.hyperparameters,
        training_auc=training.test_auc if training else {},
        training_accuracy=training.test_accuracy if training else None,
        baseline=baseline,
        artifacts=tuple(artifacts),
    )


def _failures(planned: PlannedModel) -> Iterator[str]:
    """Yield the reasons that failed stages left, the first stage first, alike ones of several exports once."""
    exports = ["", *(export.name for export in planned.exports)]
    files = [(s.failure, name, paths.failure(s.failure, planned.id, name)) for s in OF_MODELS for name in exports]
    for name in exports[1:]:
        spec = planned.template(name)
        files.append((TEMPLATE.failure, name, paths.failure(TEMPLATE.failure, f"{spec.architecture}/{spec.variant}")))
    if planned.model.embed:
        tables = [*planned.embedding.files, "tables"]
        files += [(EMBED.failure, part, paths.failure(EMBED.failure, planned.id, part)) for part in tables]
        files.append((EXPLORE.failure, "", paths.failure(EXPLORE.failure, planned.model.campaign)))
    found: dict[tuple[str, str], list[str]] = {}
    for stage, name, path in files:
        failure = _read(Failure, path)
        if failure is not None:
            found.setdefault((stage, failure.reason), []).append(name)
    for (stage, reason), names in found.items():
        where = "" if len(names) == len(exports) - 1 or names == [""] else f" {', '.join(names)}"
        yield f"{stage}{where}: {reason}"


def _artifact(manifest: Manifest, runtimes: tuple[str, ...]) -> tuple[SummaryArtifact, list[str]]:
    validations, benchmarks, problems = [], [], []
    for runtime in runtimes:
        validation = _of(manifest, _read(Validation, paths.validation(manifest.model, manifest.export, runtime)))
        if validation is None:
            problems.append(f"was not validated in {runtime}")
        else:
            validations.append(validation)
            problems += [validation.reason] if validation.status == "failed" else []
        benchmark = _of(manifest, _read(Benchmark, paths.benchmark(manifest.model, manifest.export, runtime)))
        if benchmark is None:
            problems.append(f"was not benchmarked in {runtime}")
            continue
        benchmarks += [_row(row, runtime) for row in benchmark.rows]
        if manifest.exactness == "exact" and not all(row.outputs_correct for row in benchmark.rows):
            problems.append(f"gave wrong outputs while being timed in {runtime}")
    artifact = SummaryArtifact(
        format=manifest.format,
        export=manifest.export,
        layout=manifest.layout,
        path=manifest.artifact.path,
        bytes=manifest.artifact.bytes,
        sha256=manifest.artifact.sha256,
        exactness=manifest.exactness,
        transforms=manifest.transforms,
        validation=tuple(_validation(record) for record in validations),
        benchmark=tuple(benchmarks),
    )
    return artifact, problems


def _baseline(manifest: Manifest, runtimes: tuple[str, ...]) -> tuple[SummaryBenchmark, ...]:
    for runtime in runtimes:
        benchmark = _of(manifest, _read(Benchmark, paths.benchmark(manifest.model, manifest.export, runtime)))
        if benchmark is not None:
            return tuple(_row(row, "pytorch") for row in benchmark.baseline)
    return ()


def _of(manifest: Manifest, record: R | None) -> R | None:
    """Return the record if it is about the bytes that the manifest describes."""
    return record if record is not None and getattr(record, "artifact_sha256", "") == manifest.artifact.sha256 else None


def _validation(record: Validation) -> SummaryValidation:
    return SummaryValidation(**{name: getattr(record, name) for name in SummaryValidation.model_fields})


def _row(row: BenchmarkRow, runtime: str) -> SummaryBenchmark:
    values = {name: getattr(row, name) for name in SummaryBenchmark.model_fields if name != "runtime"}
    return SummaryBenchmark(runtime=runtime, **values)


def _validations(planned: PlannedModel) -> Iterator[tuple[str, Validation]]:
    for export in planned.exports:
        manifest = _read(Manifest, paths.manifest(planned.id, export.name))
        for runtime in runtimes_of(export.format) if manifest else ():
            record = _read(Validation, paths.validation(planned.id, export.name, runtime))
            if manifest and (current := _of(manifest, record)):
                yield export.name, current


def _comparisons(plan: Plan, validated: Mapping[str, Sequence[tuple[str, Validation]]]) -> Iterator[SummaryComparison]:
    campaigns: dict[str, list[Sequence[tuple[str, Validation]]]] = {}
    for name, found in validated.items():
        campaigns.setdefault(plan.runnable[name].model.campaign, []).append(found)
    for campaign, models in campaigns.items():
        yield from compare(campaign, models)


def _controls(validations: list[Validation]) -> tuple[SummaryControl, ...]:
    """Return each control once; it counts as detected if every validation that could detect it did.

    An artifact that is broken itself cannot: the mistake of a control may mend it.
    """
    detected: dict[str, bool] = {}
    for record in validations:
        if record.status == "failed" and not record.reason.startswith(BLIND):
            continue
        for control in record.controls:
            detected[control.name] = detected.get(control.name, True) and control.detected
    return tuple(SummaryControl(name=name, detected=seen) for name, seen in detected.items())


def _templates(plan: Plan) -> Iterator[SummaryTemplate]:
    served = Counter(
        f"{spec.architecture}/{spec.variant}"
        for planned in plan.runnable.values()
        for spec in (planned.template(export.name) for export in planned.exports)
    )
    for key, spec in plan.templates.items():
        record = _read(Template, spec.record)
        if record is not None:
            yield SummaryTemplate(
                architecture=record.architecture,
                format=record.format,
                layout=record.layout,
                seconds=record.seconds,
                models=served[key],
            )


def _read(kind: type[R], path: str) -> R | None:
    try:
        return kind.read(path)
    except ArtifactError:
        return None
