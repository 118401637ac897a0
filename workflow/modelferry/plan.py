"""What the workflow has to do: models with their templates, and the parameters that decide what runs again.

Pure functions on the config and on the shapes of checkpoints that exist; read by Snakemake at every start, so free of
torch. Snakemake compares parameters as a set of strings without names, hence a prefix on each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from modelferry import paths
from modelferry.checkpoint_shapes import infer_hyperparameters, read_shapes, stated_hyperparameters
from modelferry.config import Config, Export, Model
from modelferry.demo import demo_for
from modelferry.digests import canonical_json, code_digest, digest_of, sha256_of_file
from modelferry.embedding.plan import PACKAGES, JetPlan
from modelferry.environment import installed
from modelferry.errors import CheckpointError, ConfigError, did_you_mean
from modelferry.families import Family, family_module, load_family
from modelferry.formats import load_format
from modelferry.records import Exactness, Tolerance
from modelferry.runtimes import lacking, load_runtime, runtimes_of
from modelferry.transforms import APPROXIMATIONS, NONE, resolve_approximations, resolve_transforms

STAGES = {
    "demo": "modelferry.demo.training",
    "template": "modelferry.templates",
    "export": "modelferry.exporting",
    "reference": "modelferry.validation.reference",
    "validate": "modelferry.validation.stage",
    "benchmark": "modelferry.benchmark.stage",
    "embed": "modelferry.embedding.stage",
    "collect": "modelferry.embedding.tables",
    "explore": "modelferry.embedding.explore",
    "report": "modelferry.report.stage",
}
"""The module that does the work of each stage; what it imports is its code."""


@dataclass(frozen=True)
class TemplateSpec:
    """An architecture to be compiled to a format, once.

    `architecture` identifies family and hyperparameters; `variant` tells apart formats, layouts, options, and the
    versions and instruction sets that they are compiled for. `transforms` holds exact rewrites and approximations.
    """

    architecture: str
    variant: str
    family: str
    hyperparameters: dict[str, Any]
    format: str
    layout: str
    options: dict[str, Any]
    transforms: frozenset[str]

    @property
    def exactness(self) -> Exactness:
        """Whether what is made of it computes the trained function."""
        approximates = self.transforms & APPROXIMATIONS.keys()
        return "approximation" if approximates else load_format(self.format).exactness

    @property
    def folder(self) -> str:
        """The folder that holds the template."""
        return f"{paths.TEMPLATES}/{self.architecture}/{self.variant}"

    @property
    def file(self) -> str:
        """The compiled template."""
        return f"{self.folder}/template.{load_format(self.format).extension}"

    @property
    def record(self) -> str:
        """The record beside it."""
        return f"{self.folder}/template.json"


@dataclass(frozen=True)
class PlannedModel:
    """A model with all that can be known before anything runs."""

    model: Model
    hyperparameters: dict[str, Any]
    architecture: str

    @property
    def id(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def family(self) -> Family:
        """The model's family, as its hyperparameters make it."""
        return load_family(self.model.family).configured(self.hyperparameters)

    @property
    def exports(self) -> tuple[Export, ...]:
        """The exports that this machine can make."""
        return tuple(export for export in self.model.exports if not unavailable(export.format))

    def template(self, export: str) -> TemplateSpec:
        """Return the template that an export of this model fills."""
        return template_spec(self.model.family, self.hyperparameters, self.model.export(export))

    def artifact(self, export: str) -> str:
        """Return the path of an artifact of this model."""
        return paths.artifact(self.id, export, load_format(self.model.export(export).format).extension)

    def export_inputs(self, export: str) -> list[str]:
        """Return what an export reads."""
        spec = self.template(export)
        return [self.model.checkpoint, spec.file, spec.record]

    def validate_inputs(self, export: str, runtime: str) -> list[str]:
        """Return what a validation reads, apart from the reference: the artifact and what broken ones are made of."""
        own = [self.artifact(export), paths.manifest(self.id, export), *load_runtime(runtime).files()]
        return [*own, *self.export_inputs(export)]

    def benchmark_inputs(self) -> list[str]:
        """Return what a benchmark reads."""
        names = [export.name for export in self.exports]
        manifests = [paths.manifest(self.id, name) for name in names]
        return [self.model.checkpoint, *map(self.artifact, names), *manifests, *_files(self.runtimes)]

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes of all exports that this machine has."""
        return tuple(sorted({runtime for export in self.exports for runtime in runtimes_of(export.format)}))

    @property
    def jets(self) -> JetPlan:
        """What is embedded of this model's jets; raise `ConfigError` if nothing is."""
        return JetPlan.of(self.model, self.hyperparameters)

    def tolerance(self, export: str) -> Tolerance:
        """Return what the outputs of an export may differ by."""
        chosen, family = self.model.export(export), self.family
        contract = family.contract(self.hyperparameters, family.layout(chosen.layout))
        return self.model.validation.tolerance(chosen.format, contract.outputs[0].dtype)

    def validations(self) -> list[str]:
        """Return the paths of all validations of this model."""
        return [paths.validation(self.id, e.name, r) for e in self.exports for r in runtimes_of(e.format)]

    def benchmarks(self) -> list[str]:
        """Return the paths of all benchmarks of this model."""
        return [paths.benchmark(self.id, e.name, r) for e in self.exports for r in runtimes_of(e.format)]


@cache
def unavailable(format_name: str) -> str:
    """Return what this machine lacks for a format, and the remedy; empty if nothing."""
    return load_format(format_name).unavailable()


def template_spec(family_name: str, hyperparameters: dict[str, Any], export: Export) -> TemplateSpec:
    """Return the template of a family with these hyperparameters for an export."""
    return _template_spec(family_name, canonical_json(hyperparameters), export.model_dump_json())


@cache
def _template_spec(family_name: str, hyperparameters_json: str, export_json: str) -> TemplateSpec:
    """Return the same object for the same words: hundreds of models share a few templates."""
    hyperparameters, export = json.loads(hyperparameters_json), Export.model_validate_json(export_json)
    family, target = load_family(family_name).configured(hyperparameters), load_format(export.format)
    layout, options = family.layout(export.layout), target.resolve_options(export.options)
    wanted = {} if isinstance(export.transforms, str) else export.transforms
    transforms = NONE if export.transforms == "none" else resolve_transforms(wanted, family.transforms(layout))
    transforms |= resolve_approximations(export.approximate, family.approximations(layout))
    contract = family.contract(hyperparameters, layout).model_dump(mode="json")
    made_by = [installed(target.packages), target.built_for(options)]
    variant = digest_of([layout, options, sorted(transforms), contract, made_by], 8)
    return TemplateSpec(
        architecture=architecture_digest(family_name, hyperparameters),
        variant=f"{export.format}-{variant}",
        family=family_name,
        hyperparameters=hyperparameters,
        format=export.format,
        layout=layout,
        options=options,
        transforms=transforms,
    )


def architecture_digest(family: str, hyperparameters: dict[str, Any]) -> str:
    """Return the identity of everything of a deployable except its weights."""
    return digest_of([family, hyperparameters], 12)


def plan_model(model: Model) -> PlannedModel:
    """Return the model with its hyperparameters, read off its checkpoint as far as that tells them.

    A demo checkpoint may not exist yet, and it has what the config says. A checkpoint that cannot be read counts as
    one that tells nothing: the export will say what is wrong with it, and fail for this model only.
    """
    family = load_family(model.family)
    inferred: dict[str, Any] = {}
    if model.checkpoint and not model.demo:
        try:
            inferred = infer_hyperparameters(family, read_shapes(model.checkpoint))
            inferred |= stated_hyperparameters(family, model.checkpoint)
        except CheckpointError:
            inferred = {}
    try:
        hyperparameters = family.resolve(model.hyperparameters, inferred)
    except ConfigError as error:
        raise ConfigError(f"{model.id}: {error}") from None
    return PlannedModel(model, hyperparameters, architecture_digest(model.family, hyperparameters))


@dataclass(frozen=True)
class Plan:
    """All models of a config."""

    config: Config

    @cached_property
    def models(self) -> dict[str, PlannedModel]:
        """All models by id, those without a checkpoint included."""
        return {model.id: plan_model(model) for model in self.config.models()}

    @cached_property
    def runnable(self) -> dict[str, PlannedModel]:
        """Models that have a checkpoint, or will get one from the demo."""
        return {name: planned for name, planned in self.models.items() if not planned.model.missing}

    @cached_property
    def templates(self) -> dict[str, TemplateSpec]:
        """Templates of the runnable models by ``architecture/variant``."""
        specs = [planned.template(e.name) for planned in self.runnable.values() for e in planned.exports]
        return {f"{spec.architecture}/{spec.variant}": spec for spec in specs}

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes of all runnable models that this machine has."""
        return tuple(sorted({runtime for planned in self.runnable.values() for runtime in planned.runtimes}))

    @property
    def runtimes_not_run(self) -> dict[str, str]:
        """What this machine lacks, by the runtime of an export that is left out for it."""
        exports = [export for planned in self.runnable.values() for export in planned.exports]
        wanted = sorted({runtime for export in exports for runtime in load_format(export.format).runtimes})
        return {runtime: reason for runtime in wanted if (reason := lacking(runtime))}

    @property
    def campaigns_with_models(self) -> list[str]:
        """Campaigns of which at least one model can run."""
        return list(dict.fromkeys(planned.model.campaign for planned in self.runnable.values() if planned.exports))

    def export_names(self, format_name: str) -> str:
        """Return a regular expression of the names of all exports to a format."""
        exports = [export for campaign in self.config.campaigns.values() for export in campaign.formats]
        return "|".join(sorted({re.escape(export.name) for export in exports if export.format == format_name}))

    def demo_event_files(self, planned: PlannedModel) -> list[str]:
        """Return the toy events that a demo model is trained on."""
        demo = demo_for(planned.model.family)
        if demo is None:
            raise ConfigError(f"family '{planned.model.family}' has no demo", "give a checkpoint path")
        folder = paths.demo_events(planned.model.family)
        return [f"{folder}/{group}/{member}" for group in demo.groups(planned.model.axes) for member in demo.members]

    def reference_inputs(self, planned: PlannedModel) -> list[str]:
        """Return the weights and events that the reference is evaluated with."""
        events = self.demo_event_files(planned) if planned.model.demo else planned.model.events
        return [planned.model.checkpoint, *events]

    def benchmark_outputs(self, campaign: str) -> list[str]:
        """Return the benchmarks of a campaign's models, with the wildcard ``model``."""
        exports = next(p.exports for p in self.runnable.values() if p.model.campaign == campaign)
        return [paths.benchmark("{model}", e.name, r) for e in exports for r in runtimes_of(e.format)]

    @property
    def embedded(self) -> dict[str, PlannedModel]:
        """Runnable models whose jets are embedded."""
        return {name: planned for name, planned in self.runnable.items() if planned.model.embed and planned.exports}

    @property
    def explored(self) -> dict[str, list[PlannedModel]]:
        """Models of each campaign whose embeddings are looked at."""
        found: dict[str, list[PlannedModel]] = {}
        for planned in self.embedded.values():
            if planned.model.explore:
                found.setdefault(planned.model.campaign, []).append(planned)
        return found

    def targets(self) -> list[str]:
        """Return all that a run leaves behind: Snakemake makes a missing file only if something asks for it."""
        artifacts = [p.artifact(export.name) for p in self.runnable.values() for export in p.exports]
        tables = [paths.embeddings(name) for name in self.embedded]
        return [*artifacts, *tables, *self.report_inputs(), paths.REPORT, paths.SUMMARY, paths.COMPLETE, paths.GATE]

    def report_inputs(self) -> list[str]:
        """Return all records that the report reads."""
        explorations = map(paths.exploration, self.explored)
        return [*self._records(), *explorations]

    def _records(self) -> list[str]:
        return [
            path
            for planned in self.runnable.values()
            for path in (
                *(paths.manifest(planned.id, export.name) for export in planned.exports),
                *planned.validations(),
                *planned.benchmarks(),
                *([paths.training(planned.model.checkpoint)] if planned.model.demo else []),
                *(planned.template(export.name).record for export in planned.exports),
            )
        ]

    def model(self, model_id: str) -> PlannedModel:
        """Return the model called `model_id`; raise `ConfigError` if there is none."""
        if model_id not in self.models:
            raise ConfigError(f"there is no model '{model_id}'", did_you_mean(model_id, self.models))
        return self.models[model_id]

    def template_params(self, spec: TemplateSpec) -> list[str]:
        """Return what decides whether a template is built again."""
        code = _code("template", spec, f"formats.{spec.format}")
        return [code, _versions(load_format(spec.format).packages)]

    def export_params(self, planned: PlannedModel, export: str) -> list[str]:
        """Return what decides whether an artifact is made again."""
        spec = planned.template(export)
        return [
            _code("export", spec, f"formats.{spec.format}"),
            _versions(load_format(spec.format).packages),
            *_checkpoint(planned.model),
        ]

    def reference_params(self, planned: PlannedModel) -> list[str]:
        """Return what decides whether the reference is evaluated again."""
        model, family = planned.model, planned.family
        settings = model.validation.model_dump(include={"events", "seed"})
        layouts = sorted({family.layout(export.layout) for export in planned.exports})
        return [
            _code("reference", planned),
            _config(
                {
                    **settings,
                    "hyperparameters": planned.hyperparameters,
                    "layouts": layouts,
                    "event_options": model.event_options,
                }
            ),
            _versions(family.packages),
            *_checkpoint(model),
        ]

    def validate_params(self, planned: PlannedModel, export: str, runtime: str) -> list[str]:
        """Return what decides whether an artifact is compared again in a runtime."""
        format_name = planned.model.export(export).format
        return [
            _code("validate", planned, f"formats.{format_name}", f"runtimes.{runtime}"),
            _config(planned.model.validation.model_dump()),
            _versions(load_format(format_name).packages),
        ]

    def benchmark_params(self, planned: PlannedModel) -> list[str]:
        """Return what decides whether a model is timed again."""
        formats = sorted({export.format for export in planned.exports})
        packages = {package for name in formats for package in load_format(name).packages}
        modules = [*(f"formats.{name}" for name in formats), *(f"runtimes.{name}" for name in planned.runtimes)]
        return [
            _code("benchmark", planned, *modules),
            _config(planned.model.benchmark.model_dump()),
            _versions([*packages, *load_family(planned.model.family).packages]),
        ]

    def embed_inputs(self, planned: PlannedModel, part: str) -> list[str]:
        """Return what the embedding of one file of jets reads: the file, and the artifact."""
        jets = planned.jets
        return [jets.files[part], planned.artifact(jets.export), paths.manifest(planned.id, jets.export)]

    def embed_params(self, planned: PlannedModel) -> list[str]:
        """Return what decides whether a file of jets is embedded again."""
        format_name = planned.model.export(planned.jets.export).format
        packages = _versions([*load_format(format_name).packages, *PACKAGES])
        code = _code("embed", planned, f"formats.{format_name}")
        return [code, _config(planned.jets.embed_settings()), packages]

    def collect_params(self, planned: PlannedModel) -> list[str]:
        """Return what decides whether tables of classes are written again."""
        return [_code("collect"), f"files:{digest_of(planned.jets.files, 16)}", _versions(PACKAGES)]

    def explore_params(self, campaign: str) -> list[str]:
        """Return what decides whether a campaign's embeddings are looked at again."""
        models = self.explored[campaign]
        embed, settings = models[0].jets.embed, models[0].jets.explore
        asked = {"classes": [embed.against, *embed.classes], **settings.model_dump()}
        names = digest_of([planned.id for planned in models], 16)
        return [_code("explore"), _config(asked), f"models:{names}", _versions(PACKAGES)]

    def demo_params(self, planned: PlannedModel) -> list[str]:
        """Return what decides whether a demo network is trained again."""
        modules = (f"modelferry.demo.{planned.model.family}", *_network(planned))
        packages = _versions(load_family(planned.model.family).packages)
        return [f"code:{code_digest(*modules, STAGES['demo'])}", _config(planned.hyperparameters), packages]

    def demo_event_params(self, family: str) -> list[str]:
        """Return what decides whether toy events are made again."""
        return [f"code:{code_digest(f'modelferry.demo.{family}')}"]

    def report_params(self) -> list[str]:
        """Return what decides whether the report is written again, beyond the records that it reads."""
        missing = {name: planned.model.missing for name, planned in self.models.items() if planned.model.missing}
        exports = {name: [export.name for export in planned.model.exports] for name, planned in self.models.items()}
        return [_code("report"), f"missing:{digest_of(missing, 16)}", f"models:{digest_of(exports, 16)}"]


def _code(stage: str, subject: PlannedModel | TemplateSpec | None = None, *others: str) -> str:
    modules = [STAGES[stage], *(_network(subject) if subject else ()), *(f"modelferry.{name}" for name in others)]
    return f"code:{code_digest(*modules)}"


def _network(subject: PlannedModel | TemplateSpec) -> tuple[str, ...]:
    """Return the modules that define a network: its family's, and those that the family names."""
    name = subject.family if isinstance(subject, TemplateSpec) else subject.model.family
    return family_module(name), *load_family(name).modules(subject.hyperparameters)


def _files(runtimes: Iterable[str]) -> list[str]:
    return [file for runtime in runtimes for file in load_runtime(runtime).files()]


def _config(value: Any) -> str:
    return f"config:{canonical_json(value)}"


def _versions(packages: Iterable[str]) -> str:
    return f"versions:{canonical_json(installed(sorted(set(packages))))}"


def _checkpoint(model: Model) -> list[str]:
    """Digest a checkpoint that the user brings; one that the workflow makes is left to Snakemake's checksums."""
    path = Path(model.checkpoint)
    return [] if model.demo or not path.is_file() else [f"checkpoint:{sha256_of_file(path)}"]
