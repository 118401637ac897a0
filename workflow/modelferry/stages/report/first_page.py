"""The report as Markdown: a first page that stays one page, and a page for each campaign.

A single small campaign needs no page of its own: all that is known of it is on the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelferry.core.contract import Contract
from modelferry.records.summary import Summary
from modelferry.stages.report import embeddings, figures
from modelferry.stages.report.grouping import FIRST_PAGE, by_campaign, pages
from modelferry.stages.report.page import CAMPAIGN, MARK, OVERVIEW, WHOLE, Page, markdown
from modelferry.stages.report.sections import SECTIONS


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
        What the embeddings hold; each campaign's have a page of their own.
    """
    groups, links = by_campaign(summary.models), pages(summary.models)
    images = {path.name: f"![{figures.TITLES[path.name]}]({path.as_posix()})" for path in drawn}
    kind = OVERVIEW if links else WHOLE
    first = Page(kind, summary, groups, contracts, embeddings.section(explored), changed, images, links)
    texts = {FIRST_PAGE: markdown(first, SECTIONS)}
    texts |= {embeddings.page_name(one.record.campaign): embeddings.page(one, MARK) for one in explored}
    for name, file in links.items():
        own = embeddings.section([one for one in explored if one.record.campaign == name])
        page = replace(first, kind=CAMPAIGN, groups={name: groups[name]}, embeddings=own, images={})
        texts[file] = markdown(page, SECTIONS)
    return texts
