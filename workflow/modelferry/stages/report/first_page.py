"""The report as Markdown: a first page that stays one page, and a page for each campaign.

A single small campaign needs no page of its own: all that is known of it stands on the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelferry.core.contract import Contract
from modelferry.records.summary import Summary, SummaryModel
from modelferry.stages.report import aggregates, campaign_page, embeddings, failures, figures, snippets, tables
from modelferry.stages.report.formatting import pairs, plural, prose, table
from modelferry.stages.report.grouping import FIRST_PAGE, artifact_of, by_campaign, pages
from modelferry.stages.report.page import MARK, MEANING, demo, folded, joined
from modelferry.stages.report.recommendation import advice, best

CAMPAIGNS = 8
"""So many campaigns have their advice and how to load it on the first page; others on their own pages."""

Groups = Mapping[str, Sequence[SummaryModel]]


def render(
    summary: Summary,
    contracts: Mapping[str, Contract],
    changed: Sequence[str],
    drawn: Sequence[Path],
    explored: Sequence[embeddings.Explored] = (),
) -> dict[str, str]:
    """Return file name → Markdown.

    Parameters
    ----------
    summary
        All facts.
    contracts
        The input contracts by ``campaign/layout``.
    changed
        What changed since the previous report, from `changes.changes`.
    drawn
        The figures that exist, as paths relative to the pages.
    explored
        What was found in embeddings; each campaign's has a page of its own.
    """
    groups, links = by_campaign(summary.models), pages(summary.models)
    images = {path.name: f"![{figures.TITLES[path.name]}]({path.as_posix()})" for path in drawn}
    sections = {one.record.campaign: embeddings.section([one]) for one in explored}
    if links:
        body = _overview(groups, contracts, images, links, embeddings.section(explored))
    else:
        [(name, models)] = groups.items()
        body = campaign_page.blocks(summary, name, models, contracts, images, embeddings.section(explored))
    texts = {FIRST_PAGE: joined([*_head(summary, changed), *body, *_tail(summary)])}
    texts |= {embeddings.page_name(one.record.campaign): embeddings.page(one, MARK) for one in explored}
    for name, page in links.items():
        texts[page] = campaign_page.page(summary, name, groups[name], contracts, sections.get(name, ""))
    return texts


def headline(summary: Summary) -> str:
    """Return the verdict in one line."""
    passed = [model for model in summary.models if model.status == "passed"]
    artifacts = [artifact for model in passed for artifact in model.artifacts if artifact.validation]
    formats = {artifact.format for artifact in artifacts if artifact.exactness == "exact"}
    counted = f"{len(passed):,} of {plural(len(summary.models), 'model')} validated"
    return f"{summary.verdict.capitalize()}: {counted}" + (f" in {plural(len(formats), 'format')}" if formats else "")


def _head(summary: Summary, changed: Sequence[str]) -> list[str]:
    return [
        MARK,
        f"# {headline(summary)}",
        demo(summary.models),
        failures.section(summary),
        _not_run(summary.runtimes_not_run),
        "## What changed since the previous report",
        "\n".join(f"- {sentence}" for sentence in changed) or "Nothing but timings.",
    ]


def _overview(
    groups: Groups,
    contracts: Mapping[str, Contract],
    images: Mapping[str, str],
    links: Mapping[str, str],
    explored: str,
) -> list[str]:
    """Return the sections on all campaigns: medians and the worst, a few rows each."""
    return [
        "## Models by channel",
        aggregates.models_by_channel(groups, links),
        "Each campaign's page has the same model by model, and the rest of what was measured: decisions, every pair of "
        "sizes, properties, inputs outside the contract, all latencies, how to load each format, digests.",
        "## Specification",
        aggregates.specifications(groups, contracts, links),
        "## Size and parameters",
        aggregates.sizes(groups),
        "## Numerical differences",
        MEANING,
        aggregates.differences(groups),
        images.get(figures.DIFFERENCE, ""),
        "## Latency",
        aggregates.latencies(groups),
        *(images.get(name, "") for name in (figures.BY_FORMAT, figures.BY_PARTICLES, figures.BY_BATCH)),
        "## Embeddings",
        explored,
        "## Which artifact to ship",
        _advice(groups, links),
        "## How to load what to ship",
        _loading(groups, contracts),
    ]


def _tail(summary: Summary) -> list[str]:
    made = summary.environment
    machine = f"{prose(made.cpu)} ({prose(made.isa)}), {plural(made.cores, 'core')}"
    rows = [
        ["written", prose(summary.generated)],
        ["machine", f"{machine}, load average {made.load_average:.2f}"],
        ["system", f"{prose(made.platform)}, Python {prose(made.python)}"],
        ["packages", pairs(made.packages).replace(" = ", " ")],
    ]
    return [
        "## Controls",
        folded(_seen(summary), tables.controls(summary.controls)) if summary.controls else "",
        "## Environment",
        table(["", "value"], rows, "ll"),
        folded("Templates", tables.templates(summary.templates[: aggregates.ROWS])) if summary.templates else "",
    ]


def _seen(summary: Summary) -> str:
    seen = sum(control.detected for control in summary.controls)
    return f"{seen} of {plural(len(summary.controls), 'kind')} of deliberately broken artifacts were seen"


def _not_run(reasons: Mapping[str, str]) -> str:
    return "\n".join(f"- {prose(runtime)}: not run ({prose(reason)})" for runtime, reason in reasons.items())


def _advice(groups: Groups, links: Mapping[str, str]) -> str:
    if len(groups) == 1:
        return "".join(advice(models) for models in groups.values())
    lines = [f"- **{prose(name)}**: {advice(models)}" for name, models in list(groups.items())[:CAMPAIGNS]]
    others = [f"[{prose(name)}]({links[name]})" for name in list(groups)[CAMPAIGNS:]]
    return "\n".join(lines) + (f"\n\nFor the others, see {', '.join(others)}." if others else "")


def _loading(groups: Groups, contracts: Mapping[str, Contract]) -> str:
    """Return how what to ship of each campaign is loaded; of a model that passed, if there is one."""
    texts = []
    for name, models in list(groups.items())[:CAMPAIGNS]:
        export = best(models)
        for model in sorted(models, key=lambda model: model.status != "passed"):
            artifact = artifact_of(model, export)
            contract = contracts.get(f"{name}/{artifact.layout}") if artifact else None
            if artifact and contract:
                texts.append(snippets.section(artifact, contract, f"{prose(name)}: "))
                break
    return "\n\n".join(texts)
