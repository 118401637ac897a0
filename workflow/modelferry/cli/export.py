"""Making files: templates, artifacts, and what a single checkpoint becomes."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from modelferry.cli.jobs import chosen, exit_code, exports_of, in_parts, plan_of
from modelferry.core import paths
from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.families import load_family
from modelferry.families.hyperparameters import find_family, named_values
from modelferry.families.trained import load_checkpoint
from modelferry.formats import format_names, load_format
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import EXPORT, TEMPLATE
from modelferry.plan.templates import TemplateSpec

BOTH = "both"
"""Stands for the formats that a family's checkpoint is exported to unless others are asked for."""


def export(options: argparse.Namespace) -> int:
    """Export models: fill their templates with their weights; templates that are missing are built first.

    With the path of a checkpoint instead, export that file: no config is needed, and nothing goes to `results`.
    """
    if options.checkpoint:
        return _export_file(options)
    return exit_code((_export(planned, options) for planned in chosen(plan_of(options), options)), options)


def _export(planned: PlannedModel, options: argparse.Namespace) -> bool:
    from modelferry.stages.export.artifact import export_model

    def run(name: str) -> list[str]:
        for file in (earlier := [*planned.artifact_files(name), paths.manifest(planned.id, name)]):
            Path(file).unlink(missing_ok=True)
        spec = planned.template(name)
        if not options.exit_zero and not Path(spec.record).is_file():
            _build(spec, options)
        artifact = export_model(planned, name).artifact
        print(f"{artifact.path}  {artifact.bytes / 1e6:.2f} MB")
        return earlier

    parts = {name: partial(run, name) for name in exports_of(planned, options)}
    return in_parts(EXPORT, planned.id, parts, options, whole=not options.format)


def template(options: argparse.Namespace) -> int:
    """Build a template: compile an architecture to a format, weights left blank."""
    known = plan_of(options).templates
    if options.key not in known:
        raise ConfigError(f"there is no template '{options.key}'", did_you_mean(options.key, known))
    return exit_code([_build(known[options.key], options)], options)


def _export_file(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from modelferry.stages.export.standalone import StandaloneExport, wanted_formats

    if options.model or options.all or any(v for name, v in vars(options).items() if name.startswith("axis_")):
        raise ConfigError("both a checkpoint and models of the config are chosen", "give one or the other")
    path = Path(options.checkpoint)
    for name in options.format:
        if name != BOTH:
            load_format(name)
    family = options.family or find_family(path)
    usual = load_family(family).formats
    asked = [name for entry in options.format or [BOTH] for name in (usual if entry == BOTH else (entry,))]
    if not asked:
        raise ConfigError(f"{path} is of family {family}: no format is given", f"--format {', '.join(format_names())}")
    wanted = wanted_formats(asked, named_values(options.option, "--option", "isa=avx2"))
    given = {"name": options.name, "version": options.version, "accuracy": options.accuracy}
    facts = {name: value for name, value in given.items() if value is not None}
    if options.time_stamp:
        facts["exported"] = datetime.now(UTC).isoformat(timespec="seconds")
    settings = named_values(options.set, "--set", "max_len=256")
    transforms = named_values(options.transform, "--transform", "fold_batch_norm=off")
    model = load_checkpoint(path, family=family, hyperparameters=settings, facts=facts)
    one = StandaloneExport.of(model, options.layout, transforms)
    if not options.family:
        print(f"note: {path} is of family {family}, by the names and shapes of its tensors; --family says otherwise")
    others = ", ".join(name for name in model.family.layouts if name != one.layout)
    if others and not options.layout:
        print(f"note: the files take layout {one.layout}; --layout gives {others}")
    if model.note:
        print(f"note: {model.note}")
    for written in one.write(wanted, Path(options.output_dir)):
        checked = f"largest difference on {written.events} {model.family.batch} {written.max_abs_diff:.2g}"
        if not written.exact:
            shift = max(output.score_shift for output in written.comparison.outputs)
            checked = f"an approximation: a score shifts by up to {shift:.2g}, {checked}"
        print(f"{written.path}  {written.bytes / 1e3:.1f} kB, {checked}")
    if one.undecided:
        alike = f"nearly the same scores for all {model.family.batch}"
        print(f"warning: {model.path} gives {alike}; is it trained and complete?")
    return 0


def _build(spec: TemplateSpec, options: argparse.Namespace) -> bool:
    from modelferry.stages.export.template import build_template

    def run() -> list[str]:
        build_template(spec)
        return [spec.record, *spec.files]

    return in_parts(TEMPLATE, f"templates/{spec.key}", {"": run}, options, whole=True)
