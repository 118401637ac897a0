"""All that the report says of one campaign, model by model: its own page, or the first if it is small and alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelferry.core.contract import Contract
from modelferry.records.summary import Summary, SummaryModel
from modelferry.stages.report import failures, figures, probes, snippets, tables
from modelferry.stages.report.artifact_matrix import matrix
from modelferry.stages.report.formatting import plural, prose
from modelferry.stages.report.grouping import FIRST_PAGE
from modelferry.stages.report.latency import INTERVAL, working_point
from modelferry.stages.report.page import MARK, MEANING, demo, folded, headed, joined
from modelferry.stages.report.recommendation import advice
from modelferry.stages.report.specification import contracts_of, specification

READ_BACK = "Tensors read back: so many weights inside the file were compared with the checkpoint's, bit by bit."


def page(
    summary: Summary, campaign: str, models: Sequence[SummaryModel], contracts: Mapping[str, Contract], embeddings: str
) -> str:
    """Return a campaign's own page; `embeddings` is its section on them."""
    passed = sum(model.status == "passed" for model in models)
    return joined(
        [
            MARK,
            f"# {prose(campaign)}: {passed:,} of {plural(len(models), 'model')} validated",
            f"All campaigns and figures: [first page]({FIRST_PAGE}).",
            demo(models),
            failures.of_models(models),
            *blocks(summary, campaign, models, contracts, {}, embeddings),
        ]
    )


def blocks(
    summary: Summary,
    campaign: str,
    models: Sequence[SummaryModel],
    contracts: Mapping[str, Contract],
    images: Mapping[str, str],
    embeddings: str,
) -> list[str]:
    """Return the sections on a campaign; `images` are figures by name, as far as they stand on this page."""
    compared = [one for one in summary.comparisons if one.campaign == campaign]
    probed = [one for one in summary.probes if one.campaign == campaign]
    latency_figures = (figures.BY_FORMAT, figures.BY_PARTICLES, figures.BY_BATCH)
    return [
        "## Models by channel",
        tables.models_by_channel(models),
        folded("AUC of the demo models on held-out events", tables.training(models)),
        "## Specification",
        specification(models, contracts),
        "## Size and parameters",
        tables.sizes(models),
        "## Numerical differences",
        f"{MEANING} {READ_BACK}",
        tables.differences(models),
        images.get(figures.DIFFERENCE, ""),
        headed("Between any two", matrix(compared)),
        headed("What they do to decisions", tables.decisions(models)),
        folded("Largest change of the area under the ROC curve, by pair of classes", probes.class_pairs(models)),
        headed("Every pair of sizes", probes.shapes(probed)),
        headed("Properties", probes.properties(models)),
        headed("Inputs outside the contract", probes.outside(probed)),
        "## Latency",
        latency(models),
        *(images.get(name, "") for name in latency_figures),
        folded("All latencies", tables.all_latencies(models)),
        "## Embeddings",
        embeddings,
        "## Which artifact to ship",
        advice(models),
        "## How to load the artifacts",
        how_to_load(models, contracts),
        "## Digests",
        folded("Checkpoints and artifacts by SHA-256 (in full in summary.json)", tables.digests(models)),
    ]


def latency(models: Sequence[SummaryModel]) -> str:
    """Return the latencies at the working point, and what their interval is; empty if nothing was timed."""
    point = working_point(models)
    if point is None:
        return ""
    timed = sum(any(artifact.benchmark for artifact in model.artifacts) for model in models)
    sentence = f"For {point}, with the 95 % bootstrap interval of the median."
    if timed > 1:
        sentence = f"For {point}: medians over {plural(timed, 'model')}. {INTERVAL}"
    return f"{sentence}\n\n{tables.benchmark(models)}"


def how_to_load(models: Sequence[SummaryModel], contracts: Mapping[str, Contract]) -> str:
    """Return how each format and layout is loaded, folded; of a model that passed, if there is one."""
    texts: dict[tuple[str, str], str] = {}
    for model in sorted(models, key=lambda model: model.status != "passed"):
        known = contracts_of([model], contracts)
        for artifact in model.artifacts:
            contract, key = known.get(artifact.layout), (artifact.format, artifact.layout)
            if contract is not None and key not in texts:
                texts[key] = snippets.section(artifact, contract)
    return "\n\n".join(text for text in texts.values() if text)
