"""The report's tables of models, artifacts, differences and latencies, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import mean, median

from modelferry.records.summary import (
    SummaryArtifact,
    SummaryCertificate,
    SummaryControl,
    SummaryModel,
    SummaryTemplate,
    SummaryValidation,
)
from modelferry.stages.report.formatting import (
    NOTHING,
    ROWS,
    Columns,
    code,
    count,
    counts,
    decimal,
    digest,
    megabytes,
    prose,
    scientific,
    span,
    table,
    tabulate,
)
from modelferry.stages.report.grouping import artifact_of, channel, export_title, exports, short_names, size_noun
from modelferry.stages.report.latency import at_working_point, measured, spelled, working_point
from modelferry.stages.report.page import OVERVIEW, Page

BYTES_A_FLOAT32 = 4


def channels(page: Page) -> str:
    """Return one row per campaign and channel: how many models passed, and the sizes of their artifacts."""
    groups: dict[tuple[str, str], list[SummaryModel]] = {}
    for model in page.models:
        groups.setdefault((model.campaign, channel(model)), []).append(model)

    def number(models: Sequence[SummaryModel], status: str) -> str:
        total = sum(model.status == status for model in models)
        return f"**{total:,}**" if total and status != "passed" else count(total)

    def sizes(models: Sequence[SummaryModel], export: str) -> str:
        return span([artifact.bytes for model in models if (artifact := artifact_of(model, export))], 1e6)

    columns: Columns = {
        "campaign": lambda key, models: page.link(key[0]),
        "channel": lambda key, models: code(key[1]),
        "models": lambda key, models: count(len(models)),
        "passed": lambda key, models: number(models, "passed"),
        "failed": lambda key, models: number(models, "failed"),
        "missing": lambda key, models: number(models, "missing"),
        "artifacts [MB]": lambda key, models: ", ".join(f"{name} {sizes(models, name)}" for name in exports(models)),
    }
    return tabulate(columns, groups.items(), "llrrrrl", ROWS)


def models_by_channel(models: Sequence[SummaryModel]) -> str:
    """Return one row per model, grouped by channel: its axes, its status and the sizes of its artifacts."""

    def size(model: SummaryModel, export: str) -> str:
        artifact = artifact_of(model, export)
        return megabytes(artifact.bytes) if artifact else NOTHING

    axes = list(models[0].axes)
    ordered = sorted(models, key=channel)
    firsts = {next(group).id for _, group in groupby(ordered, key=channel)}
    columns: Columns = {"model": lambda model: code(model.id)}
    if axes:
        columns = {axis: lambda model, axis=axis: code(model.axes[axis]) for axis in axes}
        columns |= {axes[0]: lambda model: code(channel(model)) if model.id in firsts else " "}
    columns |= {"status": lambda model: bold_unless(model.status, "passed")}
    columns |= {f"{export} [MB]": lambda model, export=export: size(model, export) for export in exports(models)}
    return tabulate(columns, [(model,) for model in ordered], "l" * (len(axes or ["model"]) + 1))


def bold_unless(text: str, fine: str) -> str:
    """Return a text, in bold unless it says that all is well."""
    return text if text == fine else f"**{text}**"


def training(models: Sequence[SummaryModel]) -> str:
    """Return AUC and accuracy on held-out events of the models that were trained here; empty if there are none."""
    trained = [model for model in models if model.training_auc]
    names = short_names(models)
    columns: Columns = {"model": lambda model: code(names[model.id])}
    if any(model.training_accuracy is not None for model in trained):
        columns |= {"accuracy": lambda model: decimal(model.training_accuracy)}
    classes = dict.fromkeys(name for model in trained for name in model.training_auc)
    columns |= {prose(name): lambda model, name=name: decimal(model.training_auc.get(name)) for name in classes}
    return tabulate(columns, [(model,) for model in trained], "l")


def sizes(page: Page) -> str:
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
    return tabulate(columns, [row(*item) for item in groups.items()], "llll", ROWS if several else None)


def certificates(of: Sequence[SummaryCertificate]) -> str:
    """Return what was proven once, a row for each template and runtime."""
    columns: Columns = {
        "architecture": lambda one: digest(one.architecture),
        "format": lambda one: one.format,
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
    return tabulate(columns, [(one,) for one in of], "lllll")


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


def differences(models: Sequence[SummaryModel]) -> str:
    """Return the numerical differences, one row per model, export and runtime."""
    columns: Columns = {
        **_validated(models),
        "verdict": lambda _, __, v: bold_unless(v.status, "passed"),
        "events": lambda _, __, v: count(v.events),
        "of them real": lambda _, __, v: count(v.real_events),
        "max abs diff": lambda _, __, v: scientific(v.max_abs_diff),
        "max rel diff": lambda _, __, v: scientific(v.max_rel_diff),
        "max ULPs": lambda _, __, v: count(v.max_ulps),
        "artifact vs float64": lambda _, __, v: scientific(v.error_float64),
        "reference vs float64": lambda _, __, v: scientific(v.reference_error_float64),
        "error, all events": lambda _, __, v: decimal(v.error_rms, 2),
        "error, largest": lambda _, __, v: decimal(v.error_max, 1),
        "rtol needed / allowed": lambda _, __, v: f"{scientific(v.smallest_rtol)} / {scientific(v.tolerance.rtol)}",
        "atol allowed": lambda _, __, v: scientific(v.tolerance.atol),
        "tensors read back": lambda _, __, v: count(v.weights_compared or None),
    }
    return tabulate(columns, validations(models), "llll")


def worst_differences(page: Page) -> str:
    """Return the median and worst differences, one row per campaign, export and runtime."""
    groups: dict[tuple[str, str, str], list[SummaryValidation]] = {}
    for model, artifact, v in validations(page.models):
        groups.setdefault((model.campaign, export_title(artifact), v.runtime), []).append(v)
    columns: Columns = {
        "campaign": lambda key, of: prose(key[0]),
        "export": lambda key, of: key[1],
        "runtime": lambda key, of: key[2],
        "passed": lambda _, of: f"{sum(v.status == 'passed' for v in of):,} of {len(of):,}",
        "median of max abs diff": lambda _, of: scientific(median(v.max_abs_diff for v in of)),
        "worst": lambda _, of: scientific(max(v.max_abs_diff for v in of)),
        "worst ULPs": lambda _, of: count(max(v.max_ulps for v in of)),
        "worst error, all events": lambda _, of: decimal(max(v.error_rms or 0 for v in of), 2),
        "worst error, largest": lambda _, of: decimal(max(v.error_max or 0 for v in of), 1),
        "rtol needed": lambda _, of: scientific(max(v.smallest_rtol for v in of)),
        "argmax flips": lambda _, of: count(sum(v.argmax_flips for v in of)),
        "worst ΔAUC": lambda _, of: scientific(
            max((abs(v.delta_auc) for v in of if v.delta_auc is not None), default=None)
        ),
        "ill-conditioned events": lambda _, of: (
            f"{sum(v.ill_conditioned for v in of):,} of {sum(v.events for v in of):,}"
        ),
    }
    return tabulate(columns, groups.items(), "lll", ROWS)


def decisions(models: Sequence[SummaryModel]) -> str:
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
    return tabulate(columns, validations(models), "lll")


def controls(of: Sequence[SummaryControl]) -> str:
    """Return the deliberately broken artifacts and whether the validator detected them."""
    columns: Columns = {
        "deliberately broken artifact": lambda control: prose(control.name),
        "validator": lambda control: "detected" if control.detected else "**not detected**",
    }
    return tabulate(columns, [(control,) for control in of], "ll")


def latencies(page: Page) -> str:
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
        "interval of p50 [ms]": lambda row, *_: f"{decimal(row.low)} to {decimal(row.high)}",
        "p90 [ms]": lambda row, *_: decimal(row.p90),
        "p99 [ms]": lambda row, *_: decimal(row.p99),
        "speed-up over eager": lambda row, *_: f"{decimal(row.speedup, 2)}×",
        "cold load [ms]": lambda row, *_: decimal(row.cold_load),
        "first call [ms]": lambda row, *_: decimal(row.first_call),
        "peak memory [MB]": lambda row, *_: decimal(row.memory),
    }
    return tabulate(columns, rows, "llll" if page.kind == OVERVIEW else "ll", ROWS if page.kind == OVERVIEW else None)


def all_latencies(models: Sequence[SummaryModel]) -> str:
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
        "95 % interval [ms]": lambda _, __, row: f"{decimal(row.p50_low_ms)} to {decimal(row.p50_high_ms)}",
        "p90 [ms]": lambda _, __, row: decimal(row.p90_ms),
        "p99 [ms]": lambda _, __, row: decimal(row.p99_ms),
        "speed-up": lambda _, __, row: f"{decimal(row.baseline_p50_ms / row.p50_ms, 2)}×",
        "events/s": lambda _, __, row: decimal(1e3 * row.batch / row.p50_ms),
        "samples": lambda _, __, row: count(row.samples),
    }
    return tabulate(columns, ((model, *row) for model in models for row in measured([model])), "lll")


def templates(compiled: Sequence[SummaryTemplate]) -> str:
    """Return the compilations: how long each took, and how many models it serves."""
    columns: Columns = {
        "architecture": lambda row: digest(row.architecture),
        "format": lambda row: row.format,
        "layout": lambda row: row.layout,
        "compiled in [s]": lambda row: decimal(row.seconds),
        "models served": lambda row: count(row.models),
    }
    return tabulate(columns, [(row,) for row in compiled[:ROWS]], "lll")


def digests(models: Sequence[SummaryModel]) -> str:
    """Return checkpoint → artifact, both by the first digits of their SHA-256."""
    names = short_names(models)
    rows = [
        [
            code(names[model.id]),
            code(model.checkpoint.path),
            digest(model.checkpoint.sha256),
            code(artifact.path) if artifact else NOTHING,
            digest(artifact.sha256) if artifact else NOTHING,
        ]
        for model in models
        for artifact in model.artifacts or (None,)
    ]
    return table(["model", "checkpoint", "SHA-256", "artifact", "SHA-256"], rows, "lllll")
