"""The tables of the first page for campaigns too large for one row a model: counts, medians and the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from modelferry.records.summary import SummaryModel
from modelferry.report.cells import NOTHING, code, count, decimal, plural, prose, scientific, span, table
from modelferry.report.names import artifact_of, by_campaign, channel, export_title, exports
from modelferry.report.tables import validations

ROWS = 30
"""Longer tables go on: on the page of each campaign."""


def models_by_channel(models: Sequence[SummaryModel], pages: Mapping[str, str]) -> str:
    """Return one row per campaign and channel: how many models passed, and the sizes of their artifacts."""
    groups: dict[tuple[str, str], list[SummaryModel]] = {}
    for model in models:
        groups.setdefault((model.campaign, channel(model)), []).append(model)
    shipped = exports(models)
    rows = [
        [
            f"[{prose(campaign)}]({pages[campaign]})",
            code(name),
            count(len(group)),
            *(count(sum(m.status == status for m in group)) for status in ("passed", "failed", "missing")),
            *(_sizes(group, export) for export in shipped),
        ]
        for (campaign, name), group in groups.items()
    ]
    header = ["campaign", "channel", "models", "passed", "failed", "missing", *(f"{e} [MB]" for e in shipped)]
    return capped(header, rows, "ll")


def _sizes(models: Sequence[SummaryModel], export: str) -> str:
    found = [artifact_of(model, export) for model in models]
    return span([artifact.bytes for artifact in found if artifact], 1e6)


def differences(models: Sequence[SummaryModel]) -> str:
    """Return the median and worst differences, one row per campaign, export and runtime."""
    rows = []
    for campaign, group in by_campaign(models).items():
        found: dict[tuple[str, str], list[int]] = {}
        every = list(validations(group))
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


def capped(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Return the table of the first `ROWS` rows, and how many more there are."""
    shown = table(header, rows[:ROWS], align)
    left = len(rows) - ROWS
    return f"{shown}\n\n… and {plural(left, 'more row')}, on the pages of the campaigns." if left > 0 else shown
