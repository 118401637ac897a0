"""Which artifact to ship, and why: a sentence that follows from the measurements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelferry.formats import load_format
from modelferry.records.summary import SummaryArtifact, SummaryModel
from modelferry.stages.report.formatting import code, decimal, plural, prose
from modelferry.stages.report.grouping import artifact_of, exports
from modelferry.stages.report.latency import EAGER, Latency, at_working_point, ratio, working_point
from modelferry.stages.report.page import Page
from modelferry.stages.report.warnings import before_shipping

CAMPAIGNS = 8
"""Number of campaigns with advice on the first page; the others have it on their own pages."""


def advice(models: Sequence[SummaryModel]) -> str:
    """Return which export of one campaign to ship: exact, passed in every runtime, and the fastest of those."""
    ready = _ready(models)
    if not ready:
        return "Nothing is ready to ship: no exact artifact passed in every runtime that it was validated in."
    times = _fastest(models, ready)
    ranked = _ranked(ready, times)
    shipped = ranked[0]
    legacy = {artifact.export: load_format(artifact.format).legacy for model in models for artifact in model.artifacts}
    speed = _speed(models, times.get(shipped), len(ranked))
    sentences = [f"Ship {code(shipped)}: {_why(models, shipped, ready[shipped])}{speed}."]
    if legacy[shipped]:
        sentences.append(f"{legacy[shipped]}.")
        modern = [export for export in ranked if not legacy[export]]
        if modern:
            time = times.get(modern[0])
            p50 = f" (p50 {decimal(time.p50)} ms)" if time else ""
            sentences.append(f"The best of the others is {code(modern[0])}{p50}.")
    return " ".join(filter(None, [*sentences, before_shipping(models)]))


def advice_by_campaign(page: Page) -> str:
    """Return the advice of the first campaigns, and where that of the others is."""
    if len(page.groups) == 1:
        return advice(page.models)
    lines = [f"- **{prose(name)}**: {advice(models)}" for name, models in list(page.groups.items())[:CAMPAIGNS]]
    others = [page.link(name) for name in list(page.groups)[CAMPAIGNS:]]
    return "\n".join(lines) + (f"\n\nFor the others, see {', '.join(others)}." if others else "")


def best(models: Sequence[SummaryModel]) -> str:
    """Return the export of one campaign to ship; empty if none is ready."""
    ready = _ready(models)
    return next(iter(_ranked(ready, _fastest(models, ready))), "")


def _ranked(ready: Iterable[str], times: Mapping[str, Latency]) -> list[str]:
    return sorted(ready, key=lambda export: (times[export].p50 if export in times else float("inf"), export))


def _ready(models: Sequence[SummaryModel]) -> dict[str, int]:
    """Return export → how many models it is ready for, of the exports that are ready for most models."""
    elsewhere = {a.export for model in models for a in model.artifacts if load_format(a.format).destination}
    chosen = [export for export in exports(models) if export not in elsewhere] or exports(models)
    counts = {export: sum(_passed(artifact_of(model, export)) for model in models) for export in chosen}
    most = max(counts.values(), default=0)
    return {export: number for export, number in counts.items() if number == most and most > 0}


def _passed(artifact: SummaryArtifact | None) -> bool:
    return (
        artifact is not None
        and artifact.exactness == "exact"
        and bool(artifact.validation)
        and all(validation.status == "passed" for validation in artifact.validation)
    )


def _fastest(models: Sequence[SummaryModel], ready: dict[str, int]) -> dict[str, Latency]:
    """Return export → its latency in its fastest runtime."""
    times: dict[str, Latency] = {}
    for row in at_working_point(models):
        if row.export != EAGER and row.export in ready:
            times.setdefault(row.export, row)
    return times


def _why(models: Sequence[SummaryModel], export: str, number: int) -> str:
    artifacts = [artifact_of(model, export) for model in models]
    runtimes = dict.fromkeys(v.runtime for artifact in artifacts if artifact for v in artifact.validation)
    of = "all models" if number == len(models) else f"{number:,} of {plural(len(models), 'model')}"
    return f"exact, and passed for {of} in {' and '.join(runtimes)}"


def _speed(models: Sequence[SummaryModel], time: Latency | None, candidates: int) -> str:
    if time is None:
        return "; no latency was measured"
    rank = ", the fastest of those that did" if candidates > 1 else ""
    return f"{rank}, with a p50 of {decimal(time.p50)} ms for {working_point(models)}: {ratio(time.speedup)}"
