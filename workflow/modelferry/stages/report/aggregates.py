"""The tables of a first page for several campaigns: counts, medians and the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from modelferry.core.contract import Contract
from modelferry.records.summary import SummaryArtifact, SummaryModel
from modelferry.stages.report.formatting import (
    NOTHING,
    code,
    count,
    decimal,
    plural,
    prose,
    scientific,
    some,
    span,
    table,
)
from modelferry.stages.report.grouping import artifact_of, channel, export_title, exports
from modelferry.stages.report.latency import INTERVAL, at_working_point, spelled, working_point
from modelferry.stages.report.specification import contracts_of
from modelferry.stages.report.tables import validations

ROWS = 20
"""Longer tables go on: on the page of each campaign."""

Groups = Mapping[str, Sequence[SummaryModel]]


def models_by_channel(groups: Groups, links: Mapping[str, str]) -> str:
    """Return one row per campaign and channel: how many models passed, and the sizes of their artifacts."""
    channels: dict[tuple[str, str], list[SummaryModel]] = {}
    for campaign, models in groups.items():
        for model in models:
            channels.setdefault((campaign, channel(model)), []).append(model)
    rows = [
        [
            f"[{prose(campaign)}]({links[campaign]})",
            code(name),
            count(len(models)),
            *(_counted(models, status) for status in ("passed", "failed", "missing")),
            ", ".join(f"{export} {_megabytes(models, export)}" for export in exports(models)) or NOTHING,
        ]
        for (campaign, name), models in channels.items()
    ]
    return capped(["campaign", "channel", "models", "passed", "failed", "missing", "artifacts [MB]"], rows, "llrrrrl")


def _counted(models: Sequence[SummaryModel], status: str) -> str:
    number = sum(model.status == status for model in models)
    return f"**{number:,}**" if number and status != "passed" else count(number)


def _megabytes(models: Sequence[SummaryModel], export: str) -> str:
    found = [artifact_of(model, export) for model in models]
    return span([artifact.bytes for artifact in found if artifact], 1e6)


def specifications(groups: Groups, contracts: Mapping[str, Contract], links: Mapping[str, str]) -> str:
    """Return one row per campaign: family, parameters, inputs and classes."""
    rows = []
    for campaign, models in groups.items():
        contract = next(iter(contracts_of(models, contracts).values()), None)
        parameters = [model.parameters for model in models if model.parameters]
        inputs = [f"{t.name} ({', '.join(map(str, t.shape))})" for t in contract.inputs] if contract else []
        rows.append(
            [
                f"[{prose(campaign)}]({links[campaign]})",
                ", ".join(dict.fromkeys(code(model.family) for model in models)),
                " to ".join(dict.fromkeys(count(number) for number in (min(parameters), max(parameters))))
                if parameters
                else NOTHING,
                ", ".join(map(code, inputs)) or NOTHING,
                some([code(name) for name in contract.classes], 4) if contract and contract.classes else NOTHING,
            ]
        )
    return capped(["campaign", "family", "parameters", "inputs", "classes"], rows, "llrll")


def sizes(groups: Groups) -> str:
    """Return one row per campaign and export: what the files are, and how large."""
    rows = []
    for campaign, models in groups.items():
        found: dict[str, list[SummaryArtifact]] = {}
        for model in models:
            for artifact in model.artifacts:
                found.setdefault(export_title(artifact), []).append(artifact)
        for title, artifacts in found.items():
            rewrites = dict.fromkeys(name for artifact in artifacts for name in artifact.transforms)
            rows.append(
                [
                    prose(campaign),
                    title,
                    ", ".join(dict.fromkeys(artifact.exactness for artifact in artifacts)),
                    ", ".join(rewrites) or "none",
                    count(len(artifacts)),
                    span([artifact.bytes for artifact in artifacts], 1e6),
                ]
            )
    return capped(["campaign", "export", "exactness", "rewrites", "files", "file [MB]"], rows, "llll")


def differences(groups: Groups) -> str:
    """Return the median and worst differences, one row per campaign, export and runtime."""
    rows = []
    for campaign, models in groups.items():
        found: dict[tuple[str, str], list[int]] = {}
        every = list(validations(models))
        for place, (_, artifact, validation) in enumerate(every):
            found.setdefault((export_title(artifact), validation.runtime), []).append(place)
        for (export, runtime), places in found.items():
            of = [every[place][2] for place in places]
            aucs = [abs(v.delta_auc) for v in of if v.delta_auc is not None]
            rows.append(
                [
                    prose(campaign),
                    export,
                    runtime,
                    f"{sum(v.status == 'passed' for v in of):,} of {len(of):,}",
                    scientific(median(v.max_abs_diff for v in of)),
                    scientific(max(v.max_abs_diff for v in of)),
                    count(max(v.max_ulps for v in of)),
                    decimal(max(v.error_ratio_float64 for v in of), 2),
                    scientific(max(v.smallest_rtol for v in of)),
                    count(sum(v.argmax_flips for v in of)),
                    scientific(max(aucs)) if aucs else NOTHING,
                    f"{sum(v.ill_conditioned for v in of):,} of {sum(v.events for v in of):,}",
                ]
            )
    header = [
        "campaign", "export", "runtime", "passed", "median of max abs diff", "worst", "worst ULPs",
        "worst ratio to float32 error", "rtol needed", "argmax flips", "worst ΔAUC", "ill-conditioned events",
    ]  # fmt: skip
    return capped(header, rows, "lll")


def latencies(groups: Groups) -> str:
    """Return the latencies at each campaign's working point, one row per export and runtime: medians over models."""
    rows = [
        [
            prose(campaign),
            str(working_point(models)),
            spelled(row.export),
            row.runtime,
            decimal(row.p50),
            f"{decimal(row.low)} to {decimal(row.high)}",
            decimal(row.p99),
            f"{decimal(row.speedup, 2)}×",
            decimal(row.cold_load),
            decimal(row.memory),
        ]
        for campaign, models in groups.items()
        for row in at_working_point(models)
    ]
    header = [
        "campaign", "for", "export", "runtime", "p50 [ms]", "interval of p50 [ms]", "p99 [ms]", "speed-up over eager",
        "cold load [ms]", "peak memory [MB]",
    ]  # fmt: skip
    return f"Medians over the models of a campaign. {INTERVAL}\n\n{capped(header, rows, 'llll')}" if rows else ""


def capped(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Return the table of the first `ROWS` rows, and how many more there are."""
    shown = table(header, rows[:ROWS], align)
    left = len(rows) - ROWS
    return f"{shown}\n\n… and {plural(left, 'more row')}, on the pages of the campaigns." if left > 0 else shown
