"""From the JSON files of the workflow to one summary, whatever is there and whatever failed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.core.digests import digest_of
from modelferry.core.environment import commit, describe
from modelferry.core.errors import ArtifactError
from modelferry.core.known_files import known_sha256
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel, unavailable
from modelferry.plan.stages import EMBED, EXPLORE, OF_MODELS, TEMPLATE
from modelferry.records import Record
from modelferry.records.benchmark import Benchmark, BenchmarkRow, Timing
from modelferry.records.certificate import Certificate
from modelferry.records.demo import DemoTraining
from modelferry.records.export import Manifest, Template
from modelferry.records.failure import Failure
from modelferry.records.summary import (
    Summary,
    SummaryArtifact,
    SummaryBenchmark,
    SummaryCertificate,
    SummaryCheckpoint,
    SummaryControl,
    SummaryModel,
    SummaryTemplate,
    SummaryValidation,
)
from modelferry.records.validation import BLIND, DAMAGE, Validation
from modelferry.runtimes import runtimes_of
from modelferry.stages.report.artifact_matrix import compare
from modelferry.stages.report.probes import collect_probes

R = TypeVar("R", bound=Record)

UNDONE = "was not "
"""So begins what is wrong where a job has not run."""


@dataclass(frozen=True)
class Exported:
    """An artifact that is there, and what was recorded of its bytes in each runtime: None where nothing was."""

    manifest: Manifest
    validations: Mapping[str, Validation | None]
    benchmarks: Mapping[str, Benchmark | None]

    @classmethod
    def read(cls, model: str, export: str, runtimes: Sequence[str]) -> Exported | None:
        """Return an artifact with its records; None if it was not exported."""
        manifest = _read(Manifest, paths.manifest(model, export))
        if manifest is None or not manifest.artifact.present:
            return None

        def current(kind: type[R], path: str) -> R | None:
            record = _read(kind, path)
            return record if getattr(record, "artifact_sha256", "") == manifest.artifact.sha256 else None

        return cls(
            manifest,
            {runtime: current(Validation, paths.validation(model, export, runtime)) for runtime in runtimes},
            {runtime: current(Benchmark, paths.benchmark(model, export, runtime)) for runtime in runtimes},
        )

    @property
    def problems(self) -> Iterator[str]:
        """What is wrong with the artifact in any runtime."""
        if altered := self.manifest.artifact.altered:
            yield f"{' and '.join(altered)} altered after the export; run again, which makes it anew"
        for runtime, validation in self.validations.items():
            if validation is None:
                yield f"{UNDONE}validated in {runtime}"
            elif validation.status == "failed":
                yield validation.reason
            benchmark = self.benchmarks[runtime]
            if benchmark is None:
                yield f"{UNDONE}benchmarked in {runtime}"
            elif self.manifest.exactness == "exact" and not all(row.outputs_correct for row in benchmark.rows):
                yield f"gave wrong outputs while being timed in {runtime}"

    def summary(self) -> SummaryArtifact:
        """Return what the summary says of the artifact."""
        manifest, timed = self.manifest, [(runtime, b) for runtime, b in self.benchmarks.items() if b]
        return SummaryArtifact(
            format=manifest.format,
            export=manifest.export,
            layout=manifest.contract.form,
            path=manifest.artifact.path,
            bytes=manifest.artifact.bytes,
            sha256=manifest.artifact.sha256,
            exactness=manifest.exactness,
            transforms=manifest.transforms,
            validation=tuple(_verdict(record) for record in self.validations.values() if record),
            benchmark=tuple(_latency(row, runtime, one) for runtime, one in timed for row in one.rows),
        )


@dataclass(frozen=True)
class Recorded:
    """A model with all that its stages recorded; `exports` by name, None where one was not made."""

    planned: PlannedModel
    exports: Mapping[str, Exported | None]
    failures: tuple[str, ...]
    training: DemoTraining | None

    @classmethod
    def read(cls, planned: PlannedModel) -> Recorded:
        """Read the records of a model."""
        model = planned.model
        exports = {
            export.name: Exported.read(model.id, export.name, runtimes_of(export.format))
            for export in (planned.exports if not planned.problem else ())
        }
        training = _read(DemoTraining, paths.training(model.checkpoint)) if model.demo else None
        return cls(planned, exports, () if planned.problem else tuple(_failures(planned)), training)

    @property
    def exported(self) -> list[Exported]:
        """The artifacts that are there."""
        return [export for export in self.exports.values() if export]

    @property
    def validations(self) -> list[tuple[str, Validation]]:
        """All validations, each with the name of its export."""
        return [(one.manifest.export, v) for one in self.exported for v in one.validations.values() if v]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before shipping any artifact of the model, approximations beyond their limits included."""
        beyond = [
            f"{one.manifest.export} is an approximation beyond its limits: {reason}"
            for one in self.exported
            for reason in self._excused(one)
        ]
        found = [warning for _, validation in self.validations for warning in validation.warnings]
        return tuple(dict.fromkeys([*found, *beyond]))

    def _excused(self, export: Exported) -> list[str]:
        """Return the damage that an approximation does beside exact exports: the model passes or fails without it."""
        exact = any(one.manifest.exactness == "exact" for one in self.exported)
        if not exact or export.manifest.exactness == "exact":
            return []
        return [problem for problem in export.problems if problem.startswith(DAMAGE)]

    @property
    def problems(self) -> list[str]:
        """What kept the model from passing; an export that is not there needs no reason where a stage left one."""
        if self.planned.problem:
            return [self.planned.problem]
        problems = list(self.failures)
        for export in self.planned.model.exports:
            if lacking := unavailable(export.format):
                problems.append(f"{export.name}: {lacking}")
            elif exported := self.exports[export.name]:
                excused = self._excused(exported)
                problems += [f"{export.name}: {problem}" for problem in exported.problems if problem not in excused]
            else:
                problems = problems or [f"{export.name}: {UNDONE}exported"]
        return problems

    @property
    def broken(self) -> list[str]:
        """The problems but for those of jobs that have not run."""
        return [problem for problem in self.problems if not problem.partition(": ")[2].startswith(UNDONE)]

    def summary(self) -> SummaryModel:
        """Return what the summary says of the model."""
        planned, model, problems, training = self.planned, self.planned.model, self.problems, self.training
        manifest = self.exported[-1].manifest if self.exported else None
        timed = next((b for export in self.exported for b in export.benchmarks.values() if b), None)
        return SummaryModel(
            id=model.id,
            campaign=model.campaign,
            family=model.family,
            axes=model.axes,
            status="missing" if model.missing else "failed" if problems else "passed",
            reason="; ".join(dict.fromkeys(problems)),
            demo=model.demo,
            checkpoint=SummaryCheckpoint(
                path=manifest.checkpoint.path if manifest else os.fsencode(model.checkpoint).decode(errors="replace"),
                sha256=manifest.checkpoint.sha256 if manifest else "",
            ),
            architecture=planned.architecture,
            parameters=manifest.parameters if manifest else None,
            hyperparameters=planned.hyperparameters,
            training_auc=training.test_auc if training else {},
            training_accuracy=training.test_accuracy if training else None,
            baseline=tuple(_latency(row, "pytorch", timed) for row in timed.baseline) if timed else (),
            artifacts=tuple(export.summary() for export in self.exported),
            warnings=self.warnings,
        )


def collect(plan: Plan) -> tuple[Summary, dict[str, Contract]]:
    """Return the summary of all models of a plan, and the contracts of their exports by ``campaign/layout``.

    What belongs to other bytes than those that are there now (a validation of an earlier artifact, say) does not count.
    """
    recorded = [Recorded.read(planned) for planned in plan.models.values()]
    models = tuple(one.summary() for one in recorded)
    certificates = _certificates(plan)
    proven = [validation for certificate in certificates for validation in certificate.validations]
    controls = _controls([*proven, *(validation for one in recorded for _, validation in one.validations)])
    complete = all(model.status == "passed" for model in models) and all(control.detected for control in controls)
    campaigns: dict[str, list[list[tuple[str, Validation]]]] = {}
    for one in recorded:
        campaigns.setdefault(one.planned.model.campaign, []).append(one.validations)
    summary = Summary(
        verdict="passed" if complete and models else "failed",
        generated=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=describe(),
        commit=commit(),
        config_sha256=digest_of(plan.config.model_dump(mode="json")),
        data={path: known_sha256(path) for path in _event_files(plan) if Path(path).is_file()},
        templates=tuple(_templates(plan)),
        controls=controls,
        comparisons=tuple(one for campaign, of in campaigns.items() for one in compare(campaign, of)),
        probes=collect_probes(
            ((one.planned.model.campaign, export, record) for one in recorded for export, record in one.validations),
            _inherited(plan, certificates),
        ),
        certificates=tuple(_proven(certificate, recorded) for certificate in certificates),
        models=models,
        runtimes_not_run=plan.runtimes_not_run,
    )
    return summary, _contracts(recorded)


def _event_files(plan: Plan) -> Iterator[str]:
    """Yield the files of real events, each once."""
    yield from dict.fromkeys(str(file) for planned in plan.models.values() for file in planned.model.events)


def _contracts(recorded: Iterable[Recorded]) -> dict[str, Contract]:
    """Return the contracts by ``campaign/layout``: that of the last exact export, or else that of the first one."""
    contracts: dict[str, Contract] = {}
    for one in recorded:
        for manifest in (export.manifest for export in one.exported):
            key = f"{manifest.campaign}/{manifest.contract.form}"
            if manifest.exactness == "exact" or key not in contracts:
                contracts[key] = manifest.contract
    return contracts


def _failures(planned: PlannedModel) -> Iterator[str]:
    """Yield the reasons that failed stages left, the first stage first; the same reason of several exports once."""
    exports = ["", *(export.name for export in planned.exports)]
    files = [(s.failure, name, paths.failure(s.failure, planned.id, name)) for s in OF_MODELS for name in exports]
    for name in exports[1:]:
        spec = planned.template(name)
        files.append((TEMPLATE.failure, name, paths.failure(TEMPLATE.failure, f"templates/{spec.key}")))
    if planned.model.embed:
        tables = [*planned.embedding.files, "tables"]
        files += [(EMBED.failure, part, paths.failure(EMBED.failure, planned.id, part)) for part in tables]
        files.append((EXPLORE.failure, "", paths.failure(EXPLORE.failure, planned.model.campaign)))
    reasons: dict[tuple[str, str], list[str]] = {}
    for stage, name, path in files:
        failure = _read(Failure, path)
        if failure is not None:
            reasons.setdefault((stage, failure.reason), []).append(name)
    for (stage, reason), names in reasons.items():
        where = "" if len(names) == len(exports) - 1 or names == [""] else f" {', '.join(names)}"
        yield f"{stage}{where}: {reason}"


def _verdict(record: Validation) -> SummaryValidation:
    return SummaryValidation(**{name: getattr(record, name) for name in SummaryValidation.model_fields})


def _latency(row: BenchmarkRow, runtime: str, benchmark: Benchmark) -> SummaryBenchmark:
    values = {name: getattr(row, name) for name in Timing.model_fields}
    return SummaryBenchmark(runtime=runtime, load_average=benchmark.environment.load_average, **values)


def _controls(validations: Iterable[Validation]) -> tuple[SummaryControl, ...]:
    """Return each control once; it counts as detected if every validation that could detect it did.

    The validation of a broken artifact cannot: the mistake of a control may undo the artifact's own.
    """
    detected: dict[str, bool] = {}
    for record in validations:
        if record.status == "failed" and not record.reason.startswith(BLIND):
            continue
        for control in record.controls:
            detected[control.name] = detected.get(control.name, True) and control.detected
    return tuple(SummaryControl(name=name, detected=all_did) for name, all_did in detected.items())


def _templates(plan: Plan) -> Iterator[SummaryTemplate]:
    for key, spec in plan.templates.items():
        record = _read(Template, spec.record)
        if record is not None:
            yield SummaryTemplate(
                architecture=record.architecture,
                format=record.format,
                layout=record.layout,
                seconds=record.seconds,
                models=len(plan.users[key]),
            )


def _certificates(plan: Plan) -> list[Certificate]:
    """Return the certificates of all templates that have some, those that did not pass included."""
    files = [
        paths.certificate(key, runtime) for key in plan.certified for runtime in runtimes_of(plan.templates[key].format)
    ]
    return [certificate for file in files if (certificate := _read(Certificate, file))]


def _inherited(plan: Plan, certificates: Sequence[Certificate]) -> dict[tuple[str, str, str], Sequence[Validation]]:
    """Return what certificates tell, by the campaign and the export of the models that fill their templates."""
    return {
        (planned.model.campaign, export, certificate.runtime): certificate.validations
        for certificate in certificates
        for planned, export in plan.users[certificate.template]
    }


def _proven(certificate: Certificate, recorded: Sequence[Recorded]) -> SummaryCertificate:
    path = paths.certificate(certificate.template, certificate.runtime)
    heirs = {one.planned.id for one in recorded for _, validation in one.validations if validation.certificate == path}
    architecture, _, _ = certificate.template.partition("/")
    first, *_ = certificate.validations or (None,)
    return SummaryCertificate(
        architecture=architecture,
        format=certificate.format,
        layout=certificate.layout,
        runtime=certificate.runtime,
        status=certificate.status,
        reason=certificate.reason,
        weight_sets=len(certificate.validations),
        calls=len(first.shapes) if first else 0,
        outside=len(first.outside) if first else 0,
        controls=len(first.controls) if first else 0,
        models=len(heirs),
        seconds=certificate.seconds,
    )


def _read(kind: type[R], path: str) -> R | None:
    try:
        return kind.read(path)
    except ArtifactError:
        return None
