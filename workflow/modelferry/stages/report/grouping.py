"""How the report groups and names models: by campaign, in short, and on which page."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modelferry.families import load_family
from modelferry.formats import load_format
from modelferry.records.summary import SummaryArtifact, SummaryModel

LARGE = 20
"""With more models even a single campaign has a page of its own, and the first page only medians and the worst."""

FIRST_PAGE = "summary.md"
EMBEDDINGS = "embeddings-"
"""How the names of pages and figures of embeddings start."""
_TAKEN = re.compile(rf"summary$|readme$|{EMBEDDINGS}", re.IGNORECASE)


def by_campaign(models: Sequence[SummaryModel]) -> dict[str, list[SummaryModel]]:
    """Return the models of each campaign, in the order of their first appearance."""
    groups: dict[str, list[SummaryModel]] = {}
    for model in models:
        groups.setdefault(model.campaign, []).append(model)
    return groups


def pages(models: Sequence[SummaryModel]) -> dict[str, str]:
    """Return campaign → page; none where a single campaign of at most `LARGE` models has all on the first page."""
    campaigns = by_campaign(models)
    alone = len(campaigns) == 1 and len(models) <= LARGE
    return {} if alone else {campaign: page_name(campaign) for campaign in campaigns}


def page_name(campaign: str) -> str:
    """Return the file name of a campaign's page."""
    stem = page_stem(campaign)
    return f"campaign-{stem}.md" if _TAKEN.match(stem) else f"{stem}.md"


def page_stem(campaign: str) -> str:
    """Return a campaign's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", campaign).strip(".-") or "campaign"


def short_names(models: Sequence[SummaryModel]) -> dict[str, str]:
    """Return id → short name of these models."""
    return shortened([model.id for model in models])


def shortened(ids: Sequence[str]) -> dict[str, str]:
    """Return id → a name without the parts that all of these ids share; the last part of a single one."""
    parts = {identity: identity.split("/") for identity in ids}
    if len({len(part) for part in parts.values()}) > 1:
        return {identity: identity for identity in parts}
    columns = list(zip(*parts.values(), strict=True))
    different = [index for index, column in enumerate(columns) if len(set(column)) > 1] or [len(columns) - 1]
    return {identity: " / ".join(part[index] for index in different) for identity, part in parts.items()}


def on_first_axis(model: SummaryModel) -> str:
    """Return the name and the model's value of its campaign's first axis; empty if there is no axis."""
    return next((f"{axis} {value}" for axis, value in model.axes.items()), "")


def size_noun(models: Sequence[SummaryModel]) -> str:
    """Return what the size of an event of these models counts: particles, bytes, or a size that a config declares."""
    family = load_family(models[0].family).configured(models[0].hyperparameters)
    return next(iter(family.sizes), "size")


def exports(models: Sequence[SummaryModel]) -> list[str]:
    """Return the names of all exports of these models, in the order of their first appearance."""
    return list(dict.fromkeys(artifact.export for model in models for artifact in model.artifacts))


def export_title(artifact: SummaryArtifact) -> str:
    """Return the export's name, with its format where the name doesn't say it, and a label if it only approximates."""
    title = artifact.export
    name = load_format(artifact.format).name
    if name not in artifact.export:
        title += f" ({name})"
    return title if artifact.exactness == "exact" else f"{title}, approximation"


def artifact_of(model: SummaryModel, export: str) -> SummaryArtifact | None:
    """Return the model's artifact of this export, if there is one."""
    return next((artifact for artifact in model.artifacts if artifact.export == export), None)
