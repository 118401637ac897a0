"""What the workflow has to do: models with their templates, and the files that its rules name.

Pure functions on the config and on the shapes of checkpoints that exist; read by Snakemake at every start, so free of
torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from modelferry.config import Config
from modelferry.config.models import Model
from modelferry.core import paths
from modelferry.core.digests import digest_of
from modelferry.core.errors import ArtifactError, ConfigError, did_you_mean
from modelferry.core.known_files import known_files
from modelferry.plan.models import PlannedModel, plan_model
from modelferry.plan.stages import BENCHMARK, CERTIFY, EXPORT, VALIDATE
from modelferry.plan.templates import TemplateSpec
from modelferry.records.benchmark import Benchmark
from modelferry.records.outcome import Outcome
from modelferry.runtimes import lacking, paths_of, runtime_of, runtimes_of

MODELS_TO_CERTIFY = 4
"""So many models of one template make it cheaper to prove once what does not depend on weights."""


@dataclass(frozen=True)
class Plan:
    """All models of a config."""

    config: Config

    @cached_property
    def listed(self) -> dict[str, Model]:
        """All models of the config by id, as it describes them."""
        return {model.id: model for model in self.config.models()}

    @cached_property
    def models(self) -> dict[str, PlannedModel]:
        """All models by id, those without a checkpoint included."""
        return {name: self.planned(name) for name in self.listed}

    @cached_property
    def _planned(self) -> dict[str, PlannedModel]:
        return {}

    def planned(self, model_id: str) -> PlannedModel:
        """Return a model that is `listed`, with what its checkpoint tells; each is looked into once."""
        if model_id not in self._planned:
            self._planned[model_id] = plan_model(self.listed[model_id])
        return self._planned[model_id]

    @cached_property
    def runnable(self) -> dict[str, PlannedModel]:
        """Models that have a checkpoint, or will get one from the demo, and of which something can be made."""
        return {name: planned for name, planned in self.models.items() if not planned.problem}

    @cached_property
    def templates(self) -> dict[str, TemplateSpec]:
        """Templates of the runnable models by ``architecture/variant``."""
        return {key: planned.template(export) for key, ((planned, export), *_) in self.users.items()}

    @cached_property
    def users(self) -> dict[str, list[tuple[PlannedModel, str]]]:
        """The models that fill each template, each with the name of the export, by the template's key."""
        users: dict[str, list[tuple[PlannedModel, str]]] = {}
        for planned in self.runnable.values():
            for export in planned.exports:
                users.setdefault(planned.template(export.name).key, []).append((planned, export.name))
        return users

    @cached_property
    def certified(self) -> dict[str, tuple[PlannedModel, str]]:
        """A model and its export for each template of which most is proven once, instead of for each model."""
        found = {}
        for key, users in self.users.items():
            inheriting = [user for user in users if not self._proven_alone(user[0])]
            enough = len(inheriting) >= MODELS_TO_CERTIFY or Path(_certification(key)).is_file()
            if inheriting and enough and self.templates[key].certifiable:
                found[key] = inheriting[0]
        return found

    def prototype(self, architecture: str) -> PlannedModel:
        """Return a model of an architecture with the exports of all its certified templates."""
        users = [user for user in self.certified.values() if user[0].architecture == architecture]
        planned, exports = users[0][0], tuple(user.model.export(export) for user, export in users)
        return replace(planned, model=replace(planned.model, exports=exports))

    def runtime_files(self, key: str) -> list[str]:
        """Return what has to be made before artifacts of a template can be executed."""
        name = self.templates[key].format
        return [file for runtime in runtimes_of(name) for file in runtime_of(name, runtime).files()]

    def certificates(self, planned: PlannedModel) -> list[str]:
        """Return the outcomes of the certifications that a model's validations wait for."""
        if self._proven_alone(planned):
            return []
        keys = dict.fromkeys(planned.template(export.name).key for export in planned.exports)
        return [_certification(key) for key in keys if key in self.certified]

    def _proven_alone(self, planned: PlannedModel) -> bool:
        """Return whether everything is proven for a model itself: the config says so, or it was done before.

        So models that are added change nothing for those that are there.
        """
        outcome = planned.outcome(VALIDATE)
        return planned.model.validation.thorough or (Path(outcome).is_file() and not _inherits(outcome))

    @cached_property
    def swept(self) -> frozenset[str]:
        """The models whose benchmark has every size: one for each architecture, exports and settings.

        One that was timed so before stays among them, so that a model that is added or removed changes no other.
        """
        groups: dict[str, list[PlannedModel]] = {}
        for planned in self.runnable.values():
            model = planned.model
            templates = [planned.template(export.name).key for export in planned.exports]
            alike = digest_of([templates, model.benchmark.model_dump(mode="json")])
            groups.setdefault(model.id if model.benchmark.every_model else alike, []).append(planned)
        swept = {key: [one for one in group if _is_swept(one.outcome(BENCHMARK))] for key, group in groups.items()}
        return frozenset(one.id for key, group in groups.items() for one in swept[key] or group[:1])

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes of all runnable models that this machine has."""
        return tuple(sorted({runtime for planned in self.runnable.values() for runtime in planned.runtimes}))

    @property
    def runtimes_not_run(self) -> dict[str, str]:
        """What this machine lacks, by the runtime of an export that is left out for it."""
        exports = [export for planned in self.runnable.values() for export in planned.exports]
        wanted = {name: path for export in exports for name, path in paths_of(export.format).items()}
        return {name: reason for name, path in sorted(wanted.items()) if (reason := lacking(path))}

    @property
    def embedded(self) -> dict[str, PlannedModel]:
        """Runnable models whose events are embedded."""
        return {name: planned for name, planned in self.runnable.items() if planned.model.embed and planned.exports}

    @property
    def explored(self) -> dict[str, list[PlannedModel]]:
        """Models of each campaign whose embeddings are explored."""
        by_campaign: dict[str, list[PlannedModel]] = {}
        for planned in self.embedded.values():
            if planned.model.explore:
                by_campaign.setdefault(planned.model.campaign, []).append(planned)
        return by_campaign

    def targets(self) -> list[str]:
        """Return all that a run leaves behind: Snakemake makes a missing file only if something asks for it."""
        tables = [paths.embeddings(name) for name in self.embedded]
        report = [paths.REPORT, paths.REPORT_PAGE, paths.FIGURES, paths.TABLES, paths.SUMMARY, paths.COMPLETE]
        return [*tables, *self.report_inputs(), *report, paths.GATE]

    def report_inputs(self) -> list[str]:
        """Return all records that the report reads."""
        models = [planned for planned in self.runnable.values() if planned.exports]
        return [
            *(spec.outcome for spec in self.templates.values()),
            *map(_certification, self.certified),
            *(planned.outcome(stage) for planned in models for stage in (EXPORT, VALIDATE, BENCHMARK)),
            *(paths.training(planned.model.checkpoint) for planned in models if planned.model.demo),
            *map(paths.exploration, self.explored),
        ]

    def model(self, model_id: str) -> PlannedModel:
        """Return the model called `model_id`; raise `ConfigError` if there is none."""
        if model_id not in self.listed:
            raise ConfigError(f"there is no model '{model_id}'", did_you_mean(model_id, self.listed))
        return self.planned(model_id)


def _certification(key: str) -> str:
    return paths.outcome(f"templates/{key}", CERTIFY.rule)


def _inherits(outcome: str) -> bool:
    """Return whether a model's validations rest on certificates."""

    def find(path: Path) -> str:
        try:
            return ", ".join(Outcome.read(path).certificates)
        except ArtifactError:
            return ""

    return bool(known_files().ask(outcome, "certificates", find))


def _is_swept(outcome: str) -> bool:
    """Return whether a model was timed at every size: only then it has cold starts."""

    def find(path: Path) -> str:
        try:
            rows = [row for file in Outcome.read(path).files for row in Benchmark.read(file).rows]
        except ArtifactError:
            return ""
        return "every size" if any(row.cold_load_ms is not None for row in rows) else ""

    return Path(outcome).is_file() and bool(known_files().ask(outcome, "every size", find))
