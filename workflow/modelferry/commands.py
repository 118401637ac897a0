"""Carry trained PyTorch models to where they run, and prove that they arrive unchanged."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry import paths
from modelferry.config_file import read_config
from modelferry.digests import sha256_of_file
from modelferry.errors import ArtifactError, ConfigError, ModelferryError, did_you_mean, log_traceback, one_line
from modelferry.formats import load_format
from modelferry.plan import Plan, PlannedModel, TemplateSpec, plan_model
from modelferry.records import Failure, Manifest, Summary, Validation, write_text
from modelferry.runtimes import runtimes_of
from modelferry.selection import select

if TYPE_CHECKING:
    from modelferry.validation.recording import Recording

BARE_FORMATS, BOTH = ("json", "python"), "both"
"""What a checkpoint given by its path is exported to, unless formats are asked for."""

Command = Callable[[argparse.Namespace], int]

OTHERS = 3
"""Checkpoints of so many other models are tried as weights of another fold."""


def models(options: argparse.Namespace) -> int:
    """List all models with their state."""
    from modelferry.report.collect import collect

    summary, _ = collect(_plan(options))
    width = max(len(model.id) for model in summary.models)
    for model in summary.models:
        print(f"{model.id:<{width}}  {model.status:<8}{model.reason}".rstrip())
    return 0


def export(options: argparse.Namespace) -> int:
    """Export models: fill their templates with their weights; templates that are missing are built first.

    With the path of a checkpoint instead, export that file: no config is needed, and nothing goes to `results`.
    """
    if options.checkpoint:
        return _export_file(options)
    from modelferry.exporting import export_model

    plan = _plan(options)
    jobs = list(_exports(_chosen(plan, options), options.format))

    def run(planned: PlannedModel, name: str) -> None:
        spec = planned.template(name)
        if not Path(spec.record).is_file():
            _build(spec)
        with _reported("export", planned.id, name):
            manifest = export_model(planned, name)
        print(f"{manifest.artifact.path}  {manifest.artifact.bytes / 1e6:.2f} MB")

    return _for_each(options, jobs, run)


def template(options: argparse.Namespace) -> int:
    """Build a template: compile an architecture to a format, weights left blank."""
    known = _plan(options).templates
    if options.key not in known:
        raise ConfigError(f"there is no template '{options.key}'", did_you_mean(options.key, known))
    _build(known[options.key])
    return 0


def build_cpp(options: argparse.Namespace) -> int:
    """Build the C++ runtime, or take it from the cache, and print the folder that it is installed in."""
    from modelferry import cpp

    print(cpp.install().resolve())
    return 0


def reference(options: argparse.Namespace) -> int:
    """Record probes and the outputs of the network as trained, in float64 and float32."""
    from modelferry.validation.reference import record_reference

    def run(planned: PlannedModel) -> None:
        with _reported("reference", planned.id):
            record_reference(planned).write(paths.reference(planned.id))

    return _for_each(options, ((planned,) for planned in _chosen(_plan(options), options)), run)


def validate(options: argparse.Namespace) -> int:
    """Compare artifacts with the network as trained.

    With other tolerances or events than the config's, the verdict is printed, and the workflow's record left alone.
    """
    plan = _plan(options)
    jobs = list(
        _artifacts(plan, options.artifact) if options.artifact else _exports(_chosen(plan, options), options.format)
    )
    failed: list[str] = []

    def run(planned: PlannedModel, name: str) -> None:
        for runtime in runtimes_of(planned.model.export(name).format):
            if options.runtime in (None, runtime):
                record = _validate(planned, name, runtime, options, _others(plan, planned))
                _print_verdict(record, name)
                if record.status == "failed":
                    failed.append(planned.id)

    code = _for_each(options, jobs, run)
    return code or (1 if failed and not options.exit_zero else 0)


def diagnose(options: argparse.Namespace) -> int:
    """Find the first layer in which an artifact departs from the network as trained, and its worst event."""
    from modelferry.validation.diagnosis import diagnose as found

    planned = _plan(options).model(options.id)
    name = planned.model.export(options.export).name
    print(f"{planned.id} {name}")
    for line in found(planned, name, planned.tolerance(name), _recording(planned)):
        print(f"  {line}")
    return 0


def event(options: argparse.Namespace) -> int:
    """Show a recorded event of a model, by the number that a validation lists it under: inputs and outputs, as JSON."""
    from modelferry.validation.recording import Recording

    for planned in _chosen(_plan(options), options):
        recording = Recording.read(paths.reference(planned.id))
        if not 0 <= options.number < len(recording.labels):
            raise ConfigError(f"{planned.id} has no event {options.number}", f"0 to {len(recording.labels) - 1}")
        print(json.dumps({"model": planned.id, **recording.describe(options.number)}, indent=1))
    return 0


def benchmark(options: argparse.Namespace) -> int:
    """Time artifacts beside the eager reference."""
    from modelferry.benchmark.stage import benchmark_model

    def run(planned: PlannedModel) -> None:
        with _reported("benchmark", planned.id):
            records = benchmark_model(planned)
        noun = planned.family.size
        for record in records:
            row = record.rows[0]
            size = "" if row.particles is None else f", {row.particles} {noun}"
            ratio = row.baseline_p50_ms / row.p50_ms
            print(f"{record.model}: {record.format} p50 {row.p50_ms:.3g} ms (batch 1{size}), {ratio:.2g} × eager")

    return _for_each(options, ((planned,) for planned in _chosen(_plan(options), options)), run)


def embed(options: argparse.Namespace) -> int:
    """Write tables of embeddings of jets: one file after the other, then one CSV and one parquet file a class.

    Files that an earlier call finished, with the same artifact and data card, are left as they are.
    """
    from modelferry.embedding.stage import embed_file
    from modelferry.embedding.tables import collect_tables

    def run(planned: PlannedModel) -> None:
        jets = planned.jets
        if options.part and options.part not in jets.files:
            known = did_you_mean(options.part, jets.files)
            raise ConfigError(f"{planned.id} has no file of jets '{options.part}'", known)
        for part in [] if options.collect else [options.part] if options.part else jets.files:
            with _reported("embed", planned.id, part):
                record, done = embed_file(jets, part, options.again)
            rate = f"{record.jets / record.seconds:,.0f} jets/s" if done else "was there already"
            doubt = "" if record.validated else "; note: the artifact was not validated"
            print(f"{record.file.path}: {record.counts}; {rate}{doubt}")
        if options.collect or not options.part:
            with _reported("embed", planned.id, "tables"):
                tables = collect_tables(jets)
            for table in tables.tables:
                print(f"{table.csv.path}  {table.rows:,} jets")
            print(f"{planned.id}: {tables.counts}")

    return _for_each(options, ((planned,) for planned in _chosen(_plan(options), options)), run)


def explore(options: argparse.Namespace) -> int:
    """Look at what a campaign's embeddings hold: projections, ROC curves, linear probes, what transfers."""
    from modelferry.embedding.explore import explore_campaign

    found = _plan(options).explored
    if options.campaign not in found:
        raise ConfigError(f"campaign '{options.campaign}' has no `explore`", did_you_mean(options.campaign, found))
    with _reported("explore", options.campaign):
        record = explore_campaign([planned.jets for planned in found[options.campaign]])
        record.write(paths.exploration(options.campaign))
    for model in record.models:
        probe = f"mean AUC of a linear probe {model.probes[0].auc[-1]:.3f}"
        print(f"{model.model}: {record.jets:,} jets, accuracy {model.accuracy:.3f}, {probe}")
    return 0


def report(options: argparse.Namespace) -> int:
    """Write the report on whatever is there."""
    from modelferry.report.stage import report as write

    write(_plan(options))
    return 0


def verdict(options: argparse.Namespace) -> int:
    """Say where the report is and what its verdict is."""
    summary = Summary.read(paths.SUMMARY)
    passed = sum(model.status == "passed" for model in summary.models)
    print(f"{paths.REPORT}: {summary.verdict}, {passed} of {len(summary.models)} models")
    return 0 if summary.verdict == "passed" else 1


def gate(options: argparse.Namespace) -> int:
    """Fail if the report's verdict is not `passed`."""
    summary = Summary.read(paths.SUMMARY)
    if summary.verdict == "passed":
        write_text(paths.GATE, f"{summary.generated}\n")
        return 0
    for model in summary.models:
        if model.status != "passed":
            print(f"error: {model.id}: {model.reason}", file=sys.stderr)
    for control in summary.controls:
        if not control.detected:
            print(f"error: the validator did not see this control: {control.name}", file=sys.stderr)
    raise ModelferryError(f"the verdict is {summary.verdict}", f"see {paths.REPORT}")


def doctor(options: argparse.Namespace) -> int:
    """Show what this machine can do, and what to install for the rest."""
    from modelferry.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.fine else '-- '} {finding.what:<22} {finding.detail}")
    return 0 if all(finding.fine or finding.optional for finding in findings) else 1


def demo_events(options: argparse.Namespace) -> int:
    """Make a group of toy events."""
    from modelferry.demo import demo_for

    demo = demo_for(options.family)
    if demo is None:
        raise ConfigError(f"family '{options.family}' has no demo", "give a checkpoint path in the config")
    demo.make_events(options.group, Path(paths.demo_events(options.family)) / options.group)
    return 0


def demo_train(options: argparse.Namespace) -> int:
    """Train demo models on toy events."""
    from modelferry.demo import demo_for

    def run(planned: PlannedModel) -> None:
        model = planned.model
        demo = demo_for(model.family)
        if demo is None or not model.demo:
            raise ConfigError(f"{model.id} is no demo model", "only `checkpoint: demo` is trained here")
        events = Path(paths.demo_events(model.family))
        with _reported("demo", planned.id):
            record = demo.train(model.id, model.axes, planned.hyperparameters, events, Path(model.checkpoint))
            record.write(paths.training(model.checkpoint))
        accuracy = "" if record.test_accuracy is None else f"accuracy {record.test_accuracy:.3f}, "
        scores = ", ".join(f"{name} {value:.3f}" for name, value in record.test_auc.items())
        print(f"{model.id}: {record.seconds:.1f} s, {accuracy}test AUC {scores}")

    return _for_each(options, ((planned,) for planned in _chosen(_plan(options), options)), run)


def schemas(options: argparse.Namespace) -> int:
    """Write the JSON schemas of the config and of every record."""
    from modelferry.schemas import all_schemas

    for name, text in all_schemas().items():
        write_text(Path(options.folder) / name, text)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(read_config(options.config))


def _chosen(plan: Plan, options: argparse.Namespace) -> list[PlannedModel]:
    given = {name.removeprefix("axis_"): value for name, value in vars(options).items() if name.startswith("axis_")}
    axes = {axis: value for axis, value in given.items() if value is not None}
    return [plan_model(model) for model in select(plan.config.models(), options.model, axes, options.all)]


def _exports(chosen: Iterable[PlannedModel], names: list[str]) -> Iterator[tuple[PlannedModel, str]]:
    for planned in chosen:
        for name in names or [export.name for export in planned.model.exports]:
            yield planned, planned.model.export(name).name


def _artifacts(plan: Plan, files: list[str]) -> Iterator[tuple[PlannedModel, str]]:
    for file in files:
        path = Path(file)
        if not path.is_file():
            raise ArtifactError(f"there is no artifact {path}", "export it first, or choose models with --model")
        manifest = Manifest.read(path.parent / "manifest.json")
        if not path.samefile(manifest.artifact.path) or sha256_of_file(path) != manifest.artifact.sha256:
            raise ArtifactError(f"{path} is not the artifact that its manifest describes", "export it again")
        yield plan.model(manifest.model), manifest.export


def _export_file(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from modelferry import bare

    if options.model or options.all or any(v for name, v in vars(options).items() if name.startswith("axis_")):
        raise ConfigError("both a checkpoint and models of the config are chosen", "give one or the other")
    asked = options.format or [BOTH]
    formats = list(dict.fromkeys(name for entry in asked for name in (BARE_FORMATS if entry == BOTH else (entry,))))
    for name in formats:
        load_format(name)
    given = {"name": options.name, "version": options.version, "accuracy": options.accuracy}
    facts = {name: value for name, value in given.items() if value is not None}
    if options.time_stamp:
        facts["exported"] = datetime.now(UTC).isoformat(timespec="seconds")
    settings = bare.parse_hyperparameters(options.set)
    model = bare.read_model(Path(options.checkpoint), options.family, settings, facts)
    truth = bare.Truth.of(model)
    if model.assumed:
        defaults = ", ".join(f"{name} = {model.hyperparameters[name]}" for name in model.assumed)
        print(f"note: the checkpoint does not tell {defaults}; if they are others, say so with --set NAME=VALUE")
    for written in bare.export_file(model, truth, formats, Path(options.output_dir)):
        checked = f"largest difference on {written.events} texts {written.max_abs_diff:.2g}"
        print(f"{written.path}  {written.bytes / 1e3:.1f} kB, {checked}")
    if truth.undecided:
        print(f"warning: {model.path} gives nearly the same score for all texts; is it trained, and whole?")
    return 0


def _build(spec: TemplateSpec) -> None:
    from modelferry.templates import build_template

    with _reported("template", f"{spec.architecture}/{spec.variant}"):
        record = build_template(spec)
    print(f"{record.file.path}  built in {record.seconds:.1f} s")


def _others(plan: Plan, planned: PlannedModel) -> list[str]:
    """Return checkpoints of some other models of the campaign, the next ones first, that are there."""
    models = [model for model in plan.config.models() if model.campaign == planned.model.campaign]
    place = next(place for place, model in enumerate(models) if model.id == planned.id)
    following = [*models[place + 1 :], *models[:place]]
    return [model.checkpoint for model in following if Path(model.checkpoint).is_file()][:OTHERS]


def _validate(
    planned: PlannedModel, name: str, runtime: str, options: argparse.Namespace, others: Sequence[str]
) -> Validation:
    from modelferry.validation.reference import record_reference
    from modelferry.validation.stage import validate_artifact

    asked = {key: getattr(options, key) for key in ("rtol", "atol", "events") if getattr(options, key) is not None}
    tolerance = planned.tolerance(name).model_copy(update={k: v for k, v in asked.items() if k != "events"})
    with _reported("validate", planned.id, name):
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
    from modelferry.validation.recording import Recording
    from modelferry.validation.reference import record_reference

    path = paths.reference(planned.id)
    if not Path(path).is_file():
        record_reference(planned).write(path)
    return Recording.read(path)


def _print_verdict(record: Validation, name: str) -> None:
    numbers = f"{record.events} events, largest difference {record.max_abs_diff:.2g} ({record.max_ulps} ULP)"
    limits = f"rtol {record.tolerance.rtol:g}, atol {record.tolerance.atol:g}, score shift {record.max_score_shift:.2g}"
    ratio = f"error against float64 {record.error_ratio_float64:.2g} × the reference's own"
    status = record.status if record.exactness == "exact" else f"{record.status} as an approximation:"
    print(f"{status} {record.model} {name} in {record.runtime}: {numbers}, {limits}, {ratio}")
    if record.reason:
        print(f"  {record.reason}")


def _for_each(options: argparse.Namespace, jobs: Iterable[tuple], run: Callable[..., None]) -> int:
    """Run all jobs, so that one broken model hides no other; raise the error of a single one, else print each."""
    todo = list(jobs)
    failed = 0
    for job in todo:
        try:
            run(*job)
        except Exception as error:
            if len(todo) == 1:
                raise
            log_traceback(options.log)
            print(f"error: {one_line(error)}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


@contextmanager
def _reported(stage: str, model: str, name: str = "") -> Iterator[None]:
    """Leave the reason of a failure where the report finds it, and name the model in the error."""
    path = Path(paths.failure(stage, model, name))
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        reason = one_line(error).removeprefix(f"{model}: ")
        Failure(model=model, stage=stage, export=name, reason=reason).write(path)
        if isinstance(error, ModelferryError):
            raise type(error)(f"{model}: {reason}") from error
        raise
