"""The report's tables of single models, as Markdown; each takes the models of one campaign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelferry.records.summary import SummaryArtifact, SummaryControl, SummaryModel, SummaryTemplate, SummaryValidation
from modelferry.stages.report.formatting import (  # fmt: skip
    NOTHING,
    code,
    count,
    decimal,
    digest,
    megabytes,
    prose,
    scientific,
    span,
    table,
)
from modelferry.stages.report.grouping import artifact_of, channel, export_title, exports, short_names, size_noun
from modelferry.stages.report.latency import at_working_point, measured, spelled

BYTES_A_FLOAT32 = 4


def models_by_channel(models: Sequence[SummaryModel]) -> str:
    """Return one row per model, grouped by channel: its other axes, its status and the sizes of its artifacts."""
    axes = list(models[0].axes) or ["model"]
    shipped = exports(models)
    rows = []
    shown = ""
    for model in sorted(models, key=channel):
        values = [code(value) for value in model.axes.values()] or [code(model.id)]
        repeated = bool(model.axes) and channel(model) == shown
        shown = channel(model)
        sizes = [artifact_of(model, export) for export in shipped]
        rows.append(
            [
                "" if repeated else values[0],
                *values[1:],
                status(model),
                *(megabytes(artifact.bytes) if artifact else NOTHING for artifact in sizes),
            ]
        )
    header = [*axes, "status", *(f"{export} [MB]" for export in shipped)]
    return table(header, rows, "l" * (len(axes) + 1))


def status(model: SummaryModel) -> str:
    """Return a model's status, in bold unless it passed."""
    return model.status if model.status == "passed" else f"**{model.status}**"


def training(models: Sequence[SummaryModel]) -> str:
    """Return AUC and accuracy on held-out events of the models that were trained here; empty if there are none."""
    trained = [model for model in models if model.training_auc]
    classes = list(dict.fromkeys(name for model in trained for name in model.training_auc))
    names = short_names(models)
    accuracy = ["accuracy"] if any(model.training_accuracy is not None for model in trained) else []
    rows = [
        [
            code(names[model.id]),
            *(decimal(model.training_accuracy) for _ in accuracy),
            *(decimal(model.training_auc.get(name)) for name in classes),
        ]
        for model in trained
    ]
    return table(["model", *accuracy, *classes], rows, "l") if rows else ""


def sizes(models: Sequence[SummaryModel]) -> str:
    """Return one row per architecture and export: parameters, their bytes, and those of the files that ship."""
    groups: dict[tuple[str, str], list[tuple[SummaryModel, SummaryArtifact]]] = {}
    for model in models:
        for artifact in model.artifacts:
            groups.setdefault((model.architecture, export_title(artifact)), []).append((model, artifact))
    rows = []
    for (architecture, title), group in groups.items():
        parameters = group[0][0].parameters
        weights = parameters * BYTES_A_FLOAT32 if parameters else None
        files = [artifact.bytes for _, artifact in group]
        rows.append(
            [
                digest(architecture),
                title,
                group[0][1].exactness,
                ", ".join(group[0][1].transforms) or "none",
                count(len(group)),
                count(parameters),
                megabytes(weights) if weights else NOTHING,
                span(files, 1e6),
                decimal(sum(files) / len(files) / weights) if weights else NOTHING,
            ]
        )
    header = [
        "architecture", "export", "exactness", "rewrites", "models", "parameters",
        "weights in float32 [MB]", "file [MB]", "file / weights",
    ]  # fmt: skip
    return table(header, rows, "llll")


def validations(
    models: Sequence[SummaryModel],
) -> Iterator[tuple[SummaryModel, SummaryArtifact, SummaryValidation]]:
    """Yield every validation with its model and artifact."""
    for model in models:
        for artifact in model.artifacts:
            yield from ((model, artifact, validation) for validation in artifact.validation)


def differences(models: Sequence[SummaryModel]) -> str:
    """Return the numerical differences, one row per model, export and runtime."""
    names = short_names(models)
    rows = [
        [
            code(names[model.id]),
            export_title(artifact),
            v.runtime,
            v.status if v.status == "passed" else f"**{v.status}**",
            scientific(v.max_abs_diff),
            scientific(v.max_rel_diff),
            count(v.max_ulps),
            scientific(v.error_float64),
            scientific(v.reference_error_float64),
            decimal(v.error_ratio_float64, 2),
            f"{scientific(v.smallest_rtol)} / {scientific(v.tolerance.rtol)}",
            scientific(v.tolerance.atol),
            count(v.weights_compared) if v.weights_compared else NOTHING,
        ]
        for model, artifact, v in validations(models)
    ]
    header = [
        "model", "export", "runtime", "verdict", "max abs diff", "max rel diff", "max ULPs",
        "artifact vs float64", "reference vs float64", "ratio", "rtol needed / allowed", "atol allowed",
        "tensors read back",
    ]  # fmt: skip
    return table(header, rows, "llll")


def decisions(models: Sequence[SummaryModel]) -> str:
    """Return what the differences do to decisions, one row per model, export and runtime."""
    names = short_names(models)
    rows = [
        [
            code(names[model.id]),
            export_title(artifact),
            v.runtime,
            count(v.events),
            count(v.argmax_flips),
            scientific(v.max_score_shift),
            count(v.labelled_events),
            count(v.labelled_argmax_flips),
            scientific(v.labelled_max_score_shift),
            scientific(v.delta_auc),
            count(v.ill_conditioned),
        ]
        for model, artifact, v in validations(models)
    ]
    header = [
        "model", "export", "runtime", "events", "argmax flips", "max score shift", "labelled events",
        "flips among them", "score shift among them", "ΔAUC", "ill-conditioned",
    ]  # fmt: skip
    return table(header, rows, "lll")


def controls(found: Sequence[SummaryControl]) -> str:
    """Return the deliberately broken artifacts and whether the validator saw them."""
    rows = [[prose(control.name), "detected" if control.detected else "**not detected**"] for control in found]
    return table(["deliberately broken artifact", "validator"], rows, "ll")


def benchmark(models: Sequence[SummaryModel]) -> str:
    """Return the latencies at the working point, one row per export and runtime: medians over the models."""
    rows = [
        [
            spelled(row.export),
            row.runtime,
            decimal(row.p50),
            f"{decimal(row.low)} to {decimal(row.high)}",
            decimal(row.p90),
            decimal(row.p99),
            f"{decimal(row.speedup, 2)}×",
            decimal(row.cold_load),
            decimal(row.first_call),
            decimal(row.memory),
        ]
        for row in at_working_point(models)
    ]
    header = [
        "export", "runtime", "p50 [ms]", "interval of p50 [ms]", "p90 [ms]", "p99 [ms]", "speed-up over eager",
        "cold load [ms]", "first call [ms]", "peak memory [MB]",
    ]  # fmt: skip
    return table(header, rows, "ll")


def all_latencies(models: Sequence[SummaryModel]) -> str:
    """Return every latency measured, one row each."""
    names = short_names(models)
    rows = [
        [
            code(names[model.id]),
            spelled(export),
            row.runtime,
            count(row.threads),
            count(row.batch),
            count(row.particles),
            decimal(row.p50_ms),
            f"{decimal(row.p50_low_ms)} to {decimal(row.p50_high_ms)}",
            decimal(row.p90_ms),
            decimal(row.p99_ms),
            f"{decimal(row.baseline_p50_ms / row.p50_ms, 2)}×",
            decimal(1e3 * row.batch / row.p50_ms),
            count(row.samples),
        ]
        for model in models
        for export, row in measured([model])
    ]
    header = [
        "model", "export", "runtime", "threads", "batch", size_noun(models), "p50 [ms]", "95 % interval [ms]",
        "p90 [ms]", "p99 [ms]", "speed-up", "events/s", "samples",
    ]  # fmt: skip
    return table(header, rows, "lll")


def templates(compiled: Sequence[SummaryTemplate]) -> str:
    """Return the compilations: how long each took, and how many models it serves."""
    rows = [
        [digest(row.architecture), row.format, row.layout, decimal(row.seconds), count(row.models)] for row in compiled
    ]
    return table(["architecture", "format", "layout", "compiled in [s]", "models served"], rows, "lll")


def digests(models: Sequence[SummaryModel]) -> str:
    """Return checkpoint → artifact, both by the first digits of their SHA-256."""
    names = short_names(models)
    rows = []
    for model in models:
        start = [code(names[model.id]), code(model.checkpoint.path), digest(model.checkpoint.sha256)]
        rows += [[*start, code(artifact.path), digest(artifact.sha256)] for artifact in model.artifacts]
        if not model.artifacts:
            rows.append([*start, NOTHING, NOTHING])
    return table(["model", "checkpoint", "SHA-256", "artifact", "SHA-256"], rows, "lllll")
