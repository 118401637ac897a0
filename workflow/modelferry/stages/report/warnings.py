"""Warnings: what to know of models before shipping any of their artifacts, however faithful these are."""

from __future__ import annotations

from collections.abc import Sequence

from modelferry.records.summary import SummaryModel
from modelferry.stages.report.formatting import code, plural, prose, some
from modelferry.stages.report.page import Page

NAMED = 3
"""Warnings that the advice on what to ship repeats; the others stand in their section."""


def section(page: Page) -> str:
    """Return each warning once for a campaign, with the models that it is about; empty if there is none."""
    lines = []
    for campaign, models in page.groups.items():
        for warning, concerned in by_warning(models).items():
            which = f"all {plural(len(models), 'model')}" if len(concerned) == len(models) else some(concerned)
            lines.append(f"- **{prose(campaign)}**: {prose(warning)} ({which})")
    return "\n".join(lines)


def by_warning(models: Sequence[SummaryModel]) -> dict[str, list[str]]:
    """Return warning → ids of the models that it is about, those of most models first."""
    found: dict[str, list[str]] = {}
    for model in models:
        for warning in model.warnings:
            found.setdefault(warning, []).append(code(model.id))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def before_shipping(models: Sequence[SummaryModel]) -> str:
    """Return a sentence of warnings for the advice on what to ship; empty if there is none."""
    found = [prose(warning) for warning in by_warning(models)]
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"But first: {'; '.join(found[:NAMED])}{more}." if found else ""
