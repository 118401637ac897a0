"""A page of the report: what it is about, and how its sections are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from modelferry.core.contract import Contract
from modelferry.records.summary import Summary, SummaryComparison, SummaryModel, SummaryProbes
from modelferry.stages.report.blocks import Block, Content, Image, blocks
from modelferry.stages.report.formatting import plural, prose

P = TypeVar("P", SummaryComparison, SummaryProbes)

MARK = "<!-- Written by modelferry; changes to this file are lost. -->"

OVERVIEW, WHOLE, CAMPAIGN = "overview", "whole", "campaign"
"""Kinds of pages: the first of several campaigns, the first of a single small one, and a campaign's own."""
FIRST, MODELS, ALL = {OVERVIEW, WHOLE}, {WHOLE, CAMPAIGN}, {OVERVIEW, WHOLE, CAMPAIGN}


@dataclass(frozen=True)
class Page:
    """What a page is about.

    Attributes
    ----------
    groups
        The models by campaign.
    contracts
        The input contracts by ``campaign/layout``.
    embeddings
        The section on embeddings.
    changed
        What changed since the previous report.
    images
        Figures by the name of their file, as far as they are shown on this page.
    links
        The campaigns' own pages.
    """

    kind: str
    summary: Summary
    groups: Mapping[str, Sequence[SummaryModel]]
    contracts: Mapping[str, Contract]
    embeddings: Sequence[Block] = ()
    changed: Sequence[str] = ()
    images: Mapping[str, Image] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> list[SummaryModel]:
        """All models of the page."""
        return [model for models in self.groups.values() for model in models]

    def of_campaigns(self, parts: Sequence[P]) -> list[P]:
        """Return the comparisons or probes of the campaigns of the page."""
        return [part for part in parts if part.campaign in self.groups]

    def link(self, campaign: str) -> str:
        """Return a campaign's name, with a link to its page."""
        return f"[{prose(campaign)}]({self.links[campaign]})"


Part = tuple[Callable[[Page], Content], set[str]]
"""What writes a part of a section, and the kinds of pages that have it."""


def content(page: Page, sections: Mapping[str, Sequence[Part]]) -> list[Block]:
    """Return a page of sections by title; a title with nothing below it is left out."""
    found: list[Block] = []
    for title, parts in sections.items():
        below = blocks(*(write(page) for write, kinds in parts if page.kind in kinds))
        found += [f"## {title}", *below] if title and below else below
    return found


def demo(models: Sequence[SummaryModel]) -> str:
    """Return the warning that models were trained on toy data; empty if none was."""
    number = sum(model.demo for model in models)
    if not number:
        return ""
    which = "All models are" if number == len(models) else f"{number:,} of {plural(len(models), 'model')} are"
    campaigns = ", ".join(dict.fromkeys(prose(model.campaign) for model in models if model.demo))
    return f"> **Demo** ({campaigns}): {which} trained on toy data, for demonstration only. Not for physics."
