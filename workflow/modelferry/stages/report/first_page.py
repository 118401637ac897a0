"""The pages of the report: a first one that stays one page, and one for each campaign.

A single small campaign needs no page of its own: all that is known of it is on the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from modelferry.core.contract import Contract
from modelferry.records.summary import Summary
from modelferry.stages.report import embeddings, figures
from modelferry.stages.report.blocks import Block, Image
from modelferry.stages.report.grouping import FIRST_PAGE, by_campaign, pages
from modelferry.stages.report.page import CAMPAIGN, MARK, OVERVIEW, WHOLE, Page, content
from modelferry.stages.report.sections import SECTIONS


def compose(
    summary: Summary,
    contracts: Mapping[str, Contract],
    changed: Sequence[str],
    drawn: Sequence[str],
    explored: Sequence[embeddings.Explored] = (),
) -> dict[str, list[Block]]:
    """Return what each page consists of, by the name of its file.

    Parameters
    ----------
    summary
        All facts.
    contracts
        The input contracts by ``campaign/layout``.
    changed
        What changed since the previous report, from `changes.changes`.
    drawn
        Names of the figures that exist.
    explored
        What the embeddings hold; each campaign's have a page of their own.
    """
    groups, links = by_campaign(summary.models), pages(summary.models)
    images = {name: Image(name, figures.described(name, summary.models)) for name in drawn}
    kind = OVERVIEW if links else WHOLE
    first = Page(kind, summary, groups, contracts, embeddings.section(explored), changed, images, links)
    found = {FIRST_PAGE: content(first, SECTIONS)}
    found |= {embeddings.page_name(one.record.campaign): embeddings.page(one, MARK) for one in explored}
    for name, file in links.items():
        own = embeddings.section([one for one in explored if one.record.campaign == name])
        page = replace(first, kind=CAMPAIGN, groups={name: groups[name]}, embeddings=own, images={})
        found[file] = content(page, SECTIONS)
    return found
