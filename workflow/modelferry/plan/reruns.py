"""What decides whether a stage runs again: the parameters of each rule, by kind and name.

Stages get plain values from the plan, and each of them stands here or in the path of an input or output. So the code
of the plan need not count: a change of it re-runs what it gives another value. Snakemake compares parameters by their
representation: strings only, in one order, and no absolute paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelferry.config.models import Model
from modelferry.core import paths
from modelferry.core.digests import canonical_json, digest_of
from modelferry.core.environment import installed
from modelferry.core.known_files import known_sha256
from modelferry.demo import demo_for
from modelferry.families import family_module, load_family
from modelferry.formats import format_module, load_format
from modelferry.plan import stages
from modelferry.plan.code_digest import code_of
from modelferry.plan.embeddings import PACKAGES
from modelferry.plan.models import PlannedModel
from modelferry.plan.reasons import Reasons
from modelferry.plan.stages import Stage
from modelferry.plan.templates import TemplateSpec
from modelferry.runtimes import lacking, paths_of, runtime_module

found: dict[str, str] = {}
"""What is wrong with files that are there, in a dry run: a real one has removed them, and Snakemake sees for itself."""


def template(spec: TemplateSpec) -> Reasons:
    """Return what decides whether a template is built again."""
    return _reasons(
        _code(stages.TEMPLATE, spec, format_module(spec.format)),
        packages=load_format(spec.format).packages,
        found=_found(spec.outcome),
    )


def export(planned: PlannedModel) -> Reasons:
    """Return what decides whether a model's artifacts are made again."""
    specs = {export.name: planned.template(export.name) for export in planned.exports}
    chosen = {
        name: {"layout": spec.layout, "options": spec.options, "transforms": sorted(spec.transforms)}
        for name, spec in specs.items()
    }
    return _reasons(
        _code(stages.EXPORT, planned, *_formats(planned)),
        {"hyperparameters": planned.hyperparameters, "formats": chosen},
        _packages(planned),
        weights=_weights(planned.model),
        found=_found(planned.outcome(stages.EXPORT)),
    )


def weight_sets(planned: PlannedModel) -> Reasons:
    """Return what decides whether random weights of an architecture are drawn again, and what is recorded of them."""
    return _reasons(
        _code(stages.WEIGHT_SETS, planned),
        {"hyperparameters": planned.hyperparameters, "layouts": _layouts(planned)},
        planned.family.packages,
        found=_found(paths.outcome(f"templates/{planned.architecture}", stages.WEIGHT_SETS.rule)),
    )


def certify(planned: PlannedModel, export: str) -> Reasons:
    """Return what decides whether a template is certified again."""
    spec = planned.template(export)
    runtimes = [runtime_module(path) for path in paths_of(spec.format).values() if not lacking(path)]
    return _reasons(
        _code(stages.CERTIFY, spec, stages.EXPORT.module, format_module(spec.format), *runtimes),
        packages=[*load_format(spec.format).packages, *planned.family.packages],
        found=_found(paths.outcome(f"templates/{spec.key}", stages.CERTIFY.rule)),
    )


def validate(planned: PlannedModel) -> Reasons:
    """Return what decides whether a model's artifacts are compared with the network as trained again."""
    model = planned.model
    events = _demo(model.family) if model.demo else ()
    tolerances = {export.name: planned.tolerance(export.name).model_dump() for export in planned.exports}
    return _reasons(
        _code(stages.VALIDATE, planned, *events, *_formats(planned), *_runtimes(planned)),
        {
            "hyperparameters": planned.hyperparameters,
            "layouts": _layouts(planned),
            "validation": model.validation.model_dump(exclude={"rtol", "atol", "tolerances"}) | tolerances,
            "events": model.event_options,
        },
        [*_packages(planned), *planned.family.packages],
        weights=_weights(model),
        found=_found(planned.outcome(stages.VALIDATE)),
    )


def benchmark(planned: PlannedModel, swept: bool) -> Reasons:
    """Return what decides whether a model is timed again; one that is not `swept` is timed at one point."""
    return _reasons(
        _code(stages.BENCHMARK, planned, *_formats(planned), *_runtimes(planned)),
        {"benchmark": planned.model.benchmark.model_dump(exclude={"every_model"}), "every size": swept},
        [*_packages(planned), *load_family(planned.model.family).packages],
        found=_found(planned.outcome(stages.BENCHMARK)),
    )


def embed(planned: PlannedModel) -> Reasons:
    """Return what decides whether a file of events is embedded again."""
    format_name = planned.model.export(planned.embedding.export).format
    return _reasons(
        _code(stages.EMBED, planned, format_module(format_name)),
        {"embed": planned.embedding.embed_settings()},
        [*load_format(format_name).packages, *PACKAGES],
    )


def collect(planned: PlannedModel) -> Reasons:
    """Return what decides whether tables of classes are written again."""
    return _reasons(_code(stages.COLLECT), packages=PACKAGES, files=planned.embedding.files)


def explore(models: Sequence[PlannedModel]) -> Reasons:
    """Return what decides whether the embeddings of a campaign's models are looked at again."""
    embedding = models[0].embedding
    classes = [embedding.embed.against, *embedding.embed.classes]
    return _reasons(
        _code(stages.EXPLORE),
        {"embed": {"classes": classes}, "explore": embedding.explore.model_dump()},
        PACKAGES,
        models={planned.id: str(number) for number, planned in enumerate(models)},
    )


def demo(planned: PlannedModel) -> Reasons:
    """Return what decides whether a demo network is trained again."""
    family = planned.model.family
    code = code_of(*_demo(family), *_network(planned))
    return _reasons(code, {"hyperparameters": planned.hyperparameters}, load_family(family).packages)


def demo_events(family: str) -> Reasons:
    """Return what decides whether toy events are made again."""
    return _reasons(code_of(f"modelferry.demo.{family}"))


def report(models: Mapping[str, PlannedModel]) -> Reasons:
    """Return what decides whether the report is written again, beyond the records that it reads."""
    missing = {name: planned.problem for name, planned in models.items() if planned.problem}
    exports = {name: digest_of([e.name for e in planned.model.exports], 16) for name, planned in models.items()}
    return _reasons(_code(stages.REPORT), missing=missing, models=exports)


def _reasons(
    code: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
    packages: Iterable[str] = (),
    **others: Mapping[str, str],
) -> Reasons:
    kinds = {"code": code, "config": dict(_leaves(config or {})), "versions": installed(sorted({*packages})), **others}
    return {kind: dict(values) for kind, values in kinds.items() if values}


def _leaves(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield settings by their address, sorted, as JSON."""
    for name, value in sorted(settings.items()):
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", canonical_json(value)


def _code(stage: Stage, subject: PlannedModel | TemplateSpec | None = None, *others: str) -> Mapping[str, str]:
    return code_of(stage.module, *(_network(subject) if subject else ()), *others)


def _network(subject: PlannedModel | TemplateSpec) -> tuple[str, ...]:
    """Return the modules that define a network: its family's, and those that the family names."""
    name = subject.family if isinstance(subject, TemplateSpec) else subject.model.family
    return family_module(name), *load_family(name).modules(subject.hyperparameters)


def _found(path: str) -> dict[str, str]:
    return {path: found[path]} if path in found else {}


def _formats(planned: PlannedModel) -> list[str]:
    return sorted({format_module(export.format) for export in planned.exports})


def _packages(planned: PlannedModel) -> list[str]:
    return sorted({package for export in planned.exports for package in load_format(export.format).packages})


def _runtimes(planned: PlannedModel) -> list[str]:
    paths = {path for export in planned.exports for path in paths_of(export.format).values()}
    return sorted(runtime_module(path) for path in paths if not lacking(path))


def _layouts(planned: PlannedModel) -> list[str]:
    return sorted({planned.family.layout(export.layout) for export in planned.exports})


def _demo(family: str) -> tuple[str, ...]:
    """Return the modules that decide what is trained in a family's demo, and on which events."""
    demo = demo_for(family)
    return f"modelferry.demo.{family}", *(demo.modules if demo else ())


def _weights(model: Model) -> dict[str, str]:
    """Digest a checkpoint that the user brings; one that the workflow makes is left to Snakemake's checksums."""
    path = model.checkpoint
    return {} if model.demo or not Path(path).is_file() else {path: known_sha256(path)}
