"""The model card of a release: what was measured, in the report's own tables and words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelferry.core.contract import Contract
from modelferry.formats import load_format
from modelferry.records.summary import Summary, SummaryArtifact, SummaryModel
from modelferry.stages.report import snippets, tables, warnings
from modelferry.stages.report.blocks import Block, markdown
from modelferry.stages.report.formatting import code, plural, prose
from modelferry.stages.report.grouping import by_campaign
from modelferry.stages.report.page import CAMPAIGN, Page, Part, content, demo
from modelferry.stages.report.sections import latency
from modelferry.stages.report.specification import specification

FRONT = "---\nlibrary_name: modelferry\ntags: [pytorch]\n---"
"""What a model registry reads first."""
PARTS: dict[str, tuple[Part, ...]] = {
    "": ((lambda page: demo(page.models), {CAMPAIGN}),),
    "What it is": ((lambda page: specification(page.models, page.contracts), {CAMPAIGN}),),
    "Limits and warnings": ((warnings.section, {CAMPAIGN}),),
    "Files": ((tables.sizes, {CAMPAIGN}), (lambda page: tables.models_by_axis(page.models), {CAMPAIGN})),
    "Differences from the network as trained": ((lambda page: tables.differences(page.models), {CAMPAIGN}),),
    "Performance": ((latency, {CAMPAIGN}), (lambda page: tables.training(page.models), {CAMPAIGN})),
    "How to load": (
        (lambda page: snippets.LOADERS, {CAMPAIGN}),
        (snippets.loading, {CAMPAIGN}),
    ),
}


def model_card(
    name: str, summary: Summary, contracts: Mapping[str, Contract], chosen: Mapping[tuple[str, str], str]
) -> str:
    """Return the card of a release called `name`.

    Parameters
    ----------
    chosen
        Path in the release of each artifact, by model and export.
    """
    models = [released for model in summary.models if (released := _released(model, chosen)).artifacts]
    blocks: list[Block] = [FRONT, f"# {prose(name)}", _summary(models)]
    for campaign, of in by_campaign(models).items():
        page = Page(CAMPAIGN, summary, {campaign: of}, contracts)
        blocks += [f"# {prose(campaign)}", *content(page, PARTS)]
    return markdown(blocks) + "\n"


def _summary(models: Sequence[SummaryModel]) -> str:
    artifacts = [artifact for model in models for artifact in model.artifacts]
    formats = ", ".join(
        code(name) for name in dict.fromkeys(load_format(artifact.format).name for artifact in artifacts)
    )
    return (
        f"{plural(len(artifacts), 'artifact')} of {plural(len(models), 'model')} ({formats}). Each was compared with "
        "the network as trained; `modelferry verify` repeats a part of that, and `sha256sum --check SHA256SUMS` tells "
        "whether the files are whole."
    )


def _released(model: SummaryModel, chosen: Mapping[tuple[str, str], str]) -> SummaryModel:
    def moved(artifact: SummaryArtifact) -> SummaryArtifact:
        return artifact.model_copy(update={"path": chosen[model.id, artifact.export]})

    kept = tuple(moved(artifact) for artifact in model.artifacts if (model.id, artifact.export) in chosen)
    return model.model_copy(update={"artifacts": kept})
