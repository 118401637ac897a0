"""What decides whether a stage runs again: the parameters of each rule.

Snakemake compares parameters as a set of strings without names, hence a prefix on each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelferry.config.models import Model
from modelferry.core.digests import canonical_json, code_digest, digest_of, sha256_of_file
from modelferry.core.environment import installed
from modelferry.families import family_module, load_family
from modelferry.formats import format_module, load_format
from modelferry.plan.embeddings import PACKAGES
from modelferry.plan.models import PlannedModel
from modelferry.plan.templates import TemplateSpec
from modelferry.runtimes import lacking, paths_of, runtime_module

STAGES = {
    "demo": "modelferry.demo.charged_higgs_training",
    "template": "modelferry.stages.export.template",
    "export": "modelferry.stages.export.artifact",
    "reference": "modelferry.stages.validation.reference",
    "validate": "modelferry.stages.validation.stage",
    "benchmark": "modelferry.stages.benchmark.stage",
    "embed": "modelferry.stages.embeddings.stage",
    "collect": "modelferry.stages.embeddings.tables",
    "explore": "modelferry.stages.embeddings.explore",
    "report": "modelferry.stages.report.stage",
}
"""The module that does the work of each stage; what it imports is its code."""


def template(spec: TemplateSpec) -> list[str]:
    """Return what decides whether a template is built again."""
    code = _code("template", spec, format_module(spec.format))
    return [code, _versions(load_format(spec.format).packages)]


def export(planned: PlannedModel, name: str) -> list[str]:
    """Return what decides whether an artifact is made again."""
    spec = planned.template(name)
    return [
        _code("export", spec, format_module(spec.format)),
        _versions(load_format(spec.format).packages),
        *_checkpoint(planned.model),
    ]


def reference(planned: PlannedModel) -> list[str]:
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


def validate(planned: PlannedModel, name: str, runtime: str) -> list[str]:
    """Return what decides whether an artifact is compared again in a runtime."""
    format_name = planned.model.export(name).format
    return [
        _code("validate", planned, format_module(format_name), runtime_module(paths_of(format_name)[runtime])),
        _config(planned.model.validation.model_dump()),
        _versions(load_format(format_name).packages),
    ]


def benchmark(planned: PlannedModel) -> list[str]:
    """Return what decides whether a model is timed again."""
    formats = sorted({export.format for export in planned.exports})
    packages = {package for name in formats for package in load_format(name).packages}
    runtimes = [path for name in formats for path in paths_of(name).values() if not lacking(path)]
    modules = [*map(format_module, formats), *map(runtime_module, runtimes)]
    return [
        _code("benchmark", planned, *modules),
        _config(planned.model.benchmark.model_dump()),
        _versions([*packages, *load_family(planned.model.family).packages]),
    ]


def embed(planned: PlannedModel) -> list[str]:
    """Return what decides whether a file of jets is embedded again."""
    format_name = planned.model.export(planned.jets.export).format
    packages = _versions([*load_format(format_name).packages, *PACKAGES])
    code = _code("embed", planned, format_module(format_name))
    return [code, _config(planned.jets.embed_settings()), packages]


def collect(planned: PlannedModel) -> list[str]:
    """Return what decides whether tables of classes are written again."""
    return [_code("collect"), f"files:{digest_of(planned.jets.files, 16)}", _versions(PACKAGES)]


def explore(models: Sequence[PlannedModel]) -> list[str]:
    """Return what decides whether the embeddings of a campaign's models are looked at again."""
    jets = models[0].jets
    asked = {"classes": [jets.embed.against, *jets.embed.classes], **jets.explore.model_dump()}
    names = digest_of([planned.id for planned in models], 16)
    return [_code("explore"), _config(asked), f"models:{names}", _versions(PACKAGES)]


def demo(planned: PlannedModel) -> list[str]:
    """Return what decides whether a demo network is trained again."""
    modules = (f"modelferry.demo.{planned.model.family}", *_network(planned))
    packages = _versions(load_family(planned.model.family).packages)
    return [f"code:{code_digest(*modules, STAGES['demo'])}", _config(planned.hyperparameters), packages]


def demo_events(family: str) -> list[str]:
    """Return what decides whether toy events are made again."""
    return [f"code:{code_digest(f'modelferry.demo.{family}')}"]


def report(models: Mapping[str, PlannedModel]) -> list[str]:
    """Return what decides whether the report is written again, beyond the records that it reads."""
    missing = {name: planned.model.missing for name, planned in models.items() if planned.model.missing}
    exports = {name: [export.name for export in planned.model.exports] for name, planned in models.items()}
    return [_code("report"), f"missing:{digest_of(missing, 16)}", f"models:{digest_of(exports, 16)}"]


def _code(stage: str, subject: PlannedModel | TemplateSpec | None = None, *others: str) -> str:
    modules = [STAGES[stage], *(_network(subject) if subject else ()), *others]
    return f"code:{code_digest(*modules)}"


def _network(subject: PlannedModel | TemplateSpec) -> tuple[str, ...]:
    """Return the modules that define a network: its family's, and those that the family names."""
    name = subject.family if isinstance(subject, TemplateSpec) else subject.model.family
    return family_module(name), *load_family(name).modules(subject.hyperparameters)


def _config(value: Any) -> str:
    return f"config:{canonical_json(value)}"


def _versions(packages: Iterable[str]) -> str:
    return f"versions:{canonical_json(installed(sorted(set(packages))))}"


def _checkpoint(model: Model) -> list[str]:
    """Digest a checkpoint that the user brings; one that the workflow makes is left to Snakemake's checksums."""
    path = Path(model.checkpoint)
    return [] if model.demo or not path.is_file() else [f"checkpoint:{sha256_of_file(path)}"]
