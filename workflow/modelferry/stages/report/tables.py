"""The report's tables of models, artifacts, differences and latencies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from statistics import mean, median

from modelferry.core.tolerances import BULK, TAIL
from modelferry.formats import load_format
from modelferry.records.summary import (
    SummaryArtifact,
    SummaryBenchmark,
    SummaryCertificate,
    SummaryControl,
    SummaryModel,
    SummaryTemplate,
    SummaryValidation,
)
from modelferry.stages.report.blocks import LONG, ROWS, Columns, Table, tabulate
from modelferry.stages.report.formatting import (
    NOTHING,
    Cell,
    bold_unless,
    code,
    count,
    counts,
    decimal,
    digest,
    megabytes,
    prose,
    scientific,
    span,
)
from modelferry.stages.report.grouping import artifact_of, export_title, exports, on_first_axis, short_names, size_noun
from modelferry.stages.report.latency import Point, at_working_point, measured, spelled, working_point
from modelferry.stages.report.page import OVERVIEW, Page

BYTES_A_FLOAT32 = 4
WORST = 10
"""Models on the first page: those that failed, then those with the least margin."""


def groups(page: Page) -> Table | None:
    """Return one row per campaign and value of its first axis: how many models passed, and the sizes of artifacts."""
    found: dict[tuple[str, str], list[SummaryModel]] = {}
    for model in page.models:
        found.setdefault((model.campaign, on_first_axis(model)), []).append(model)

    def number(models: Sequence[SummaryModel], status: str) -> Cell:
        total = sum(model.status == status for model in models)
        return Cell(f"**{total:,}**", total) if total and status != "passed" else count(total)

    def sizes(models: Sequence[SummaryModel], export: str) -> str:
        return span([artifact.bytes for model in models if (artifact := artifact_of(model, export))], 1e6)

    columns: Columns = {
        "campaign": lambda key, models: page.link(key[0]),
        "of these": lambda key, models: code(key[1]) if key[1] else "all",
        "models": lambda key, models: count(len(models)),
        "passed": lambda key, models: number(models, "passed"),
        "failed": lambda key, models: number(models, "failed"),
        "missing": lambda key, models: number(models, "missing"),
        "artifacts [MB]": lambda key, models: ", ".join(f"{name} {sizes(models, name)}" for name in exports(models)),
    }
    return tabulate("groups", columns, found.items(), "llrrrrl", ROWS)


def models_by_axis(models: Sequence[SummaryModel]) -> Table | None:
    """Return one row per model, grouped by the first axis: its axes, its status and the sizes of its artifacts."""

    def size(model: SummaryModel, export: str) -> str:
        artifact = artifact_of(model, export)
        return megabytes(artifact.bytes) if artifact else NOTHING

    axes = list(models[0].axes)
    ordered = sorted(models, key=on_first_axis)
    firsts = {next(group).id for _, group in groupby(ordered, key=on_first_axis)}
    columns: Columns = {"model": lambda model: code(model.id)}
    if axes:
        columns = {axis: lambda model, axis=axis: code(model.axes[axis]) for axis in axes}
        columns |= {
            axes[0]: lambda model: code(model.axes[axes[0]]) if model.id in firsts else Cell(" ", model.axes[axes[0]])
        }
    columns |= {"status": lambda model: bold_unless(model.status, "passed")}
    columns |= {f"{export} [MB]": lambda model, export=export: size(model, export) for export in exports(models)}
    rows = [(model,) for model in ordered]
    return tabulate("models", columns, rows, "l" * (len(axes or ["model"]) + 1), len(rows), lambda model: model.id)


def training(models: Sequence[SummaryModel]) -> Table | None:
    """Return AUC and accuracy on held-out events of the models that were trained here; empty if there are none."""
    trained = [model for model in models if model.training_auc]
    names = short_names(models)
    columns: Columns = {"model": lambda model: code(names[model.id])}
    if any(model.training_accuracy is not None for model in trained):
        columns |= {"accuracy": lambda model: decimal(model.training_accuracy)}
    classes = dict.fromkeys(name for model in trained for name in model.training_auc)
    columns |= {prose(name): lambda model, name=name: decimal(model.training_auc.get(name)) for name in classes}
    return tabulate("training", columns, [(model,) for model in trained], "l", key=lambda model: model.id)


def sizes(page: Page) -> Table | None:
    """Return one row per export of each campaign or, on its own page, architecture: parameters, weights and files."""
    several = page.kind == OVERVIEW
    groups: dict[tuple[str, str], list[tuple[SummaryModel, SummaryArtifact]]] = {}
    for model in page.models:
        for artifact in model.artifacts:
            whose = prose(model.campaign) if several else digest(model.architecture)
            groups.setdefault((whose, export_title(artifact)), []).append((model, artifact))

    def row(key: tuple[str, str], group: Sequence[tuple[SummaryModel, SummaryArtifact]]) -> tuple[object, ...]:
        artifacts = [artifact for _, artifact in group]
        known = [(model.parameters, artifact.bytes) for model, artifact in group if model.parameters]
        return *key, artifacts, [number for number, _ in known], [size / number for number, size in known]

    columns: Columns = {
        "campaign" if several else "architecture": lambda whose, *_: whose,
        "export": lambda _, title, *__: title,
        "exactness": lambda _, __, of, *___: ", ".join(dict.fromkeys(artifact.exactness for artifact in of)),
        "rewrites": lambda _, __, of, *___: ", ".join(dict.fromkeys(t for a in of for t in a.transforms)) or "none",
        "models": lambda _, __, of, *___: count(len(of)),
        "parameters": lambda _, __, of, parameters, ratios: counts(parameters),
        "weights in float32 [MB]": lambda _, __, of, parameters, ratios: span(parameters, 1e6 / BYTES_A_FLOAT32),
        "file [MB]": lambda _, __, of, *___: span([artifact.bytes for artifact in of], 1e6),
        "file / weights": lambda *row: decimal(mean(row[-1]) / BYTES_A_FLOAT32 if row[-1] else None),
    }
    rows = [row(*item) for item in groups.items()]
    return tabulate("sizes", columns, rows, "llll", ROWS if several else LONG)


def certificates(of: Sequence[SummaryCertificate]) -> Table | None:
    """Return what was proven once, a row for each template and runtime."""
    columns: Columns = {
        "architecture": lambda one: digest(one.architecture),
        "format": lambda one: load_format(one.format).name,
        "layout": lambda one: prose(one.layout),
        "runtime": lambda one: one.runtime,
        "status": lambda one: bold_unless(one.status, "passed"),
        "sets of weights": lambda one: count(one.weight_sets),
        "sizes and kinds of events": lambda one: count(one.calls),
        "kinds of malformed inputs": lambda one: count(one.outside),
        "controls": lambda one: count(one.controls),
        "models that inherit it": lambda one: count(one.models),
        "why not": lambda one: prose(one.reason),
    }
    return tabulate("certificates", columns, [(one,) for one in of], "lllll")


def validations(
    models: Sequence[SummaryModel],
) -> Iterator[tuple[SummaryModel, SummaryArtifact, SummaryValidation]]:
    """Yield every validation with its model and artifact."""
    for model in models:
        for artifact in model.artifacts:
            yield from ((model, artifact, validation) for validation in artifact.validation)


def _validated(models: Sequence[SummaryModel]) -> Columns:
    """Return the columns that say what a validation is of."""
    names = short_names(models)
    return {
        "model": lambda model, artifact, v: code(names[model.id]),
        "export": lambda model, artifact, v: export_title(artifact),
        "runtime": lambda model, artifact, v: v.runtime,
    }


def by(artifact: SummaryArtifact, v: SummaryValidation) -> str:
    """Return what a validation was judged by."""
    if artifact.exactness != "exact":
        return "shift of scores"
    within = v.error_rms is not None and v.error_max is not None and v.error_rms <= BULK and v.error_max <= TAIL
    return "tolerance" if v.status == "passed" and not within else "float64"


def differences(models: Sequence[SummaryModel]) -> Table | None:
    """Return the numerical differences, one row per model, export and runtime."""
    columns: Columns = {
        **_validated(models),
        "verdict": lambda _, __, v: bold_unless(v.status, "passed"),
        "by": lambda _, artifact, v: by(artifact, v),
        "uses of what is allowed [%]": lambda _, __, v: decimal(_percent(v.allowed_share), 2),
        "events": lambda _, __, v: count(v.events),
        "of them real": lambda _, __, v: count(v.real_events),
        "max abs diff": lambda _, __, v: scientific(v.max_abs_diff),
        "max rel diff": lambda _, __, v: scientific(v.max_rel_diff),
        "max ULPs": lambda _, __, v: count(v.max_ulps),
        "artifact vs float64": lambda _, __, v: scientific(v.error_float64),
        "reference vs float64": lambda _, __, v: scientific(v.reference_error_float64),
        "error, all events": lambda _, __, v: decimal(v.error_rms, 2),
        "error, largest": lambda _, __, v: decimal(v.error_max, 2),
        "rtol needed": lambda _, __, v: scientific(v.smallest_rtol),
        "rtol allowed": lambda _, __, v: scientific(v.tolerance.rtol),
        "atol allowed": lambda _, __, v: scientific(v.tolerance.atol),
        "tensors read back": lambda _, __, v: count(v.weights_compared or None),
    }
    return tabulate("differences", columns, validations(models), "lllll", key=lambda model, *_: model.id)


def least_margins(page: Page) -> Table | None:
    """Return one row per campaign, export and runtime: how many passed, and the model with the least margin."""
    groups: dict[tuple[str, str, str], list[tuple[SummaryModel, SummaryValidation]]] = {}
    for model, artifact, v in validations(page.models):
        groups.setdefault((model.campaign, export_title(artifact), v.runtime), []).append((model, v))
    rows = [(*key, [v for _, v in of], *max(of, key=lambda one: _used(one[1]))) for key, of in groups.items()]
    columns: Columns = {
        "campaign": lambda campaign, *_: prose(campaign),
        "export": lambda _, export, *__: export,
        "runtime": lambda _, __, runtime, *___: runtime,
        "passed": lambda *row: f"{sum(v.status == 'passed' for v in row[3]):,} of {len(row[3]):,}",
        "median of max abs diff": lambda *row: scientific(median(v.max_abs_diff for v in row[3])),
        "least margin": lambda *row: code(row[4].id),
        "it uses of what is allowed [%]": lambda *row: decimal(_percent(row[5].allowed_share), 2),
        "its max abs diff": lambda *row: scientific(row[5].max_abs_diff),
        "its error, all events": lambda *row: decimal(row[5].error_rms, 2),
        "its error, largest": lambda *row: decimal(row[5].error_max, 2),
        "argmax flips, all models": lambda *row: count(sum(v.argmax_flips for v in row[3])),
    }
    return tabulate("least-margins", columns, rows, "lllll", ROWS)


def _used(v: SummaryValidation) -> float:
    """Return how near a validation is to failing, the failed ones first."""
    share = v.max_abs_diff if v.allowed_share is None else v.allowed_share
    return math.inf if v.status == "failed" or math.isnan(share) else share


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def all_models(page: Page) -> Table | None:
    """Return one row per model, failures first, then by margin: what became of it, and its weakest validation."""

    def weakest(model: SummaryModel) -> tuple[SummaryArtifact, SummaryValidation] | None:
        return max(((a, v) for _, a, v in validations([model])), key=lambda one: _used(one[1]), default=None)

    rows = [(model, weakest(model), fastest(model)) for model in page.models]
    rows.sort(key=lambda row: (row[0].status == "passed", -(_used(row[1][1]) if row[1] else math.inf)))
    columns: Columns = {
        "model": lambda model, *_: code(model.id),
        "status": lambda model, *_: bold_unless(model.status, "passed"),
        "least margin in": lambda _, weak, __: f"{export_title(weak[0])} in {weak[1].runtime}" if weak else "",
        "it uses of what is allowed [%]": lambda _, weak, __: decimal(
            _percent(weak[1].allowed_share) if weak else None, 2
        ),
        "max abs diff there": lambda _, weak, __: scientific(weak[1].max_abs_diff if weak else None),
        "events": lambda _, weak, __: count(weak[1].events if weak else None),
        "of them real": lambda _, weak, __: count(weak[1].real_events if weak else None),
        "fastest": lambda _, __, fast: f"{spelled(fast[0])} in {fast[1].runtime}" if fast else "",
        "its p50 [ms]": lambda _, __, fast: decimal(fast[1].p50_ms if fast else None),
        "warnings": lambda model, *_: count(len(model.warnings)),
        "why not": lambda model, *_: prose(model.reason),
    }
    table = tabulate("all-models", columns, rows, "lll", WORST, lambda model, *_: model.id)
    return replace(table, announced=True) if table else None


def fastest(model: SummaryModel) -> tuple[str, SummaryBenchmark] | None:
    """Return the exact export of a model with the lowest p50 at its working point, and that measurement."""
    point = working_point([model])
    exact = {artifact.export for artifact in model.artifacts if artifact.exactness == "exact"}
    here = [
        (export, row)
        for export, row in measured([model])
        if export in exact and Point(row.threads, row.batch, row.particles) == point
    ]
    return min(here, key=lambda one: one[1].p50_ms, default=None)


def decisions(models: Sequence[SummaryModel]) -> Table | None:
    """Return what the differences do to decisions, one row per model, export and runtime."""
    columns: Columns = {
        **_validated(models),
        "events": lambda _, __, v: count(v.events),
        "argmax flips": lambda _, __, v: count(v.argmax_flips),
        "max score shift": lambda _, __, v: scientific(v.max_score_shift),
        "labelled events": lambda _, __, v: count(v.labelled_events),
        "flips among them": lambda _, __, v: count(v.labelled_argmax_flips),
        "score shift among them": lambda _, __, v: scientific(v.labelled_max_score_shift),
        "ΔAUC": lambda _, __, v: scientific(v.delta_auc),
        "ill-conditioned": lambda _, __, v: count(v.ill_conditioned),
    }
    return tabulate("decisions", columns, validations(models), "lll", key=lambda model, *_: model.id)


def controls(of: Sequence[SummaryControl]) -> Table | None:
    """Return the deliberately broken artifacts and whether the validator detected them."""
    columns: Columns = {
        "deliberately broken artifact": lambda control: prose(control.name),
        "validator": lambda control: bold_unless("detected" if control.detected else "not detected", "detected"),
    }
    return tabulate("controls", columns, [(control,) for control in of], "ll")


def latencies(page: Page) -> Table | None:
    """Return the latencies at each campaign's working point, one row per export and runtime: medians over models."""
    rows = [(row, name, models) for name, models in page.groups.items() for row in at_working_point(models)]
    several: Columns = {
        "campaign": lambda row, campaign, models: prose(campaign),
        "for": lambda row, campaign, models: str(working_point(models)),
    }
    columns: Columns = {
        **(several if page.kind == OVERVIEW else {}),
        "export": lambda row, *_: spelled(row.export),
        "runtime": lambda row, *_: row.runtime,
        "p50 [ms]": lambda row, *_: decimal(row.p50),
        "p50, low end [ms]": lambda row, *_: decimal(row.low),
        "p50, high end [ms]": lambda row, *_: decimal(row.high),
        "p90 [ms]": lambda row, *_: decimal(row.p90),
        "p99 [ms]": lambda row, *_: decimal(row.p99),
        "times as fast as eager": lambda row, *_: decimal(row.speedup, 2),
        "cold load [ms]": lambda row, *_: decimal(row.cold_load),
        "first call [ms]": lambda row, *_: decimal(row.first_call),
        "peak memory [MB]": lambda row, *_: decimal(row.memory),
    }
    align, most = ("llll", ROWS) if page.kind == OVERVIEW else ("ll", LONG)
    return tabulate("latency", columns, rows, align, most)


def all_latencies(models: Sequence[SummaryModel]) -> Table | None:
    """Return every latency measured, one row each."""
    names = short_names(models)
    columns: Columns = {
        "model": lambda model, export, row: code(names[model.id]),
        "export": lambda model, export, row: spelled(export),
        "runtime": lambda _, __, row: row.runtime,
        "threads": lambda _, __, row: count(row.threads),
        "batch": lambda _, __, row: count(row.batch),
        size_noun(models): lambda _, __, row: count(row.particles),
        "p50 [ms]": lambda _, __, row: decimal(row.p50_ms),
        "p50, low end [ms]": lambda _, __, row: decimal(row.p50_low_ms),
        "p50, high end [ms]": lambda _, __, row: decimal(row.p50_high_ms),
        "p90 [ms]": lambda _, __, row: decimal(row.p90_ms),
        "p99 [ms]": lambda _, __, row: decimal(row.p99_ms),
        "times as fast as eager": lambda _, __, row: decimal(row.baseline_p50_ms / row.p50_ms, 2),
        "events/s": lambda _, __, row: decimal(1e3 * row.batch / row.p50_ms),
        "samples": lambda _, __, row: count(row.samples),
    }
    rows = ((model, *row) for model in models for row in measured([model]))
    return tabulate("latencies", columns, rows, "lll", key=lambda model, *_: model.id)


def templates(compiled: Sequence[SummaryTemplate]) -> Table | None:
    """Return the compilations: how long each took, and how many models it serves."""
    columns: Columns = {
        "architecture": lambda row: digest(row.architecture),
        "format": lambda row: load_format(row.format).name,
        "layout": lambda row: row.layout,
        "compiled in [s]": lambda row: decimal(row.seconds),
        "models served": lambda row: count(row.models),
    }
    return tabulate("templates", columns, [(row,) for row in compiled], "lll", ROWS)


def event_files(data: Mapping[str, str]) -> Table | None:
    """Return the files of real events with their digests."""
    columns: Columns = {"file of events": lambda path, _: code(path), "SHA-256": lambda _, found: digest(found)}
    return tabulate("events", columns, data.items(), "ll", ROWS)


def digests(models: Sequence[SummaryModel]) -> Table | None:
    """Return checkpoint → artifact, both by the first digits of their SHA-256."""
    names = short_names(models)
    columns: Columns = {
        "model": lambda model, _: code(names[model.id]),
        "checkpoint": lambda model, _: code(model.checkpoint.path),
        "SHA-256 of the checkpoint": lambda model, _: digest(model.checkpoint.sha256),
        "artifact": lambda _, artifact: code(artifact.path) if artifact else "",
        "SHA-256 of the artifact": lambda _, artifact: digest(artifact.sha256) if artifact else "",
    }
    rows = ((model, artifact) for model in models for artifact in model.artifacts or (None,))
    return tabulate("digests", columns, rows, "lllll", key=lambda model, _: model.id)
