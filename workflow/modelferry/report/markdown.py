"""The report as Markdown: the first page, and one page for each large campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelferry.contract import Contract
from modelferry.records.summary import Summary, SummaryModel
from modelferry.report import aggregates, embeddings, failures, figures, loading, probes, tables
from modelferry.report.advice import advice
from modelferry.report.cells import details, pairs, plural, prose, table
from modelferry.report.comparisons import matrix
from modelferry.report.latency import working_point
from modelferry.report.names import FIRST_PAGE, by_campaign, pages
from modelferry.report.specification import contracts_of, specification

MARK = "<!-- Written by modelferry; changes to this file are lost. -->"
MEANING = (
    "An artifact passes if every output agrees with the float32 network as trained within "
    "|artifact - reference| ≤ atol + rtol · |reference|, or if its error against the same network in float64 is at "
    "most twice that of float32 itself. A ratio of the two errors near 1 therefore says that the artifact is as "
    "accurate as what was trained; ULPs count the float32 numbers between the two outputs. Tensors read back: so many "
    "weights inside the file were compared with the checkpoint's, bit by bit."
)
CAMPAIGNS = 8
"""So many campaigns have their advice and their specification on the first page; others on their own pages."""

FENCES = {"Python": "python", "C++": "cpp"}

Section = Callable[[Sequence[SummaryModel]], str]


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
    large = pages(summary.models)
    texts = {FIRST_PAGE: _first_page(summary, contracts, changed, drawn, large, explored)}
    texts |= {embeddings.page_name(one.record.campaign): embeddings.page(one, MARK) for one in explored}
    for campaign, models in by_campaign(summary.models).items():
        if campaign in large:
            texts[large[campaign]] = _campaign_page(summary, campaign, models, contracts)
    return texts


def _first_page(
    summary: Summary,
    contracts: Mapping[str, Contract],
    changed: Sequence[str],
    drawn: Sequence[Path],
    large: Mapping[str, str],
    explored: Sequence[embeddings.Explored],
) -> str:
    groups = by_campaign(summary.models)
    small = {campaign: models for campaign, models in groups.items() if campaign not in large}
    crowd = [model for model in summary.models if model.campaign in large]
    images = {path.name: f"![{figures.TITLES[path.name]}]({path.as_posix()})" for path in drawn}

    def each(section: Section, crowded: str = "") -> str:
        parts = [_titled(campaign, section(models), len(groups)) for campaign, models in small.items()]
        return "\n\n".join(part for part in [*parts, crowded] if part)

    def image(name: str) -> str:
        return images.get(name, "")

    blocks = [
        MARK,
        f"# {headline(summary)}",
        _demo(summary.models),
        failures.section(summary),
        _not_run(summary.runtimes_not_run),
        "## What changed since the previous report",
        "\n".join(f"- {sentence}" for sentence in changed) or "Nothing but timings.",
        "## Models by channel",
        each(tables.models_by_channel, aggregates.models_by_channel(crowd, large) if crowd else ""),
        _folded("AUC of the demo models on held-out events", each(tables.training)),
        "## Specification",
        _specifications(groups, contracts, large),
        "## Size and parameters",
        "\n\n".join(_titled(c, tables.sizes(models), len(groups)) for c, models in list(groups.items())[:CAMPAIGNS]),
        "## Numerical differences",
        MEANING,
        each(tables.differences, aggregates.differences(crowd) if crowd else ""),
        image(figures.DIFFERENCE),
        _headed("Between any two", _comparisons(summary, list(groups)[:CAMPAIGNS])),
        _headed("What they do to decisions", each(tables.decisions)),
        _folded("Largest change of the area under the ROC curve, by pair of classes", each(probes.class_pairs)),
        _headed("Every pair of sizes", probes.shapes(summary.probes)),
        _headed("Properties", each(probes.properties)),
        _headed("Inputs outside the contract", probes.outside(summary.probes)),
        _headed("Controls", tables.controls(summary.controls) if summary.controls else ""),
        "## Latency",
        _latency(groups),
        *(image(name) for name in (figures.BY_FORMAT, figures.BY_PARTICLES, figures.BY_BATCH)),
        _folded("All latencies", each(tables.all_latencies)),
        "## Embeddings",
        embeddings.section(explored),
        "## Which artifact to ship",
        _advice(groups, large),
        "## How to load the artifacts",
        _loading(summary.models, contracts),
        "## Environment and digests",
        _environment(summary),
        _folded("Checkpoints and artifacts by SHA-256 (in full in summary.json)", each(tables.digests)),
    ]
    return _page(blocks)


def _campaign_page(
    summary: Summary, campaign: str, models: Sequence[SummaryModel], contracts: Mapping[str, Contract]
) -> str:
    passed = sum(model.status == "passed" for model in models)
    blocks = [
        MARK,
        f"# {prose(campaign)}: {passed:,} of {plural(len(models), 'model')} validated",
        f"All campaigns and figures: [first page]({FIRST_PAGE}).",
        _demo(models),
        failures.of_models(models),
        "## Models by channel",
        tables.models_by_channel(models),
        "## Specification",
        specification(models, contracts),
        _folded("AUC of the demo models on held-out events", tables.training(models)),
        "## Size and parameters",
        tables.sizes(models),
        "## Numerical differences",
        MEANING,
        tables.differences(models),
        _headed("Between any two", _comparisons(summary, [campaign])),
        _headed("What they do to decisions", tables.decisions(models)),
        _latencies(models),
        "## Which artifact to ship",
        advice(models),
        "## Digests",
        tables.digests(models),
    ]
    return _page(blocks)


def headline(summary: Summary) -> str:
    """Return the verdict in one line."""
    passed = [model for model in summary.models if model.status == "passed"]
    artifacts = [artifact for model in passed for artifact in model.artifacts if artifact.validation]
    formats = {artifact.format for artifact in artifacts if artifact.exactness == "exact"}
    counted = f"{len(passed):,} of {plural(len(summary.models), 'model')} validated"
    return f"{summary.verdict.capitalize()}: {counted}" + (f" in {plural(len(formats), 'format')}" if formats else "")


def _page(blocks: Sequence[str]) -> str:
    """Join what is not empty; a heading alone goes if nothing but the next heading follows it."""
    filled = [block for block in blocks if block]
    kept = [
        block
        for block, after in zip(filled, [*filled[1:], "## "], strict=True)
        if not (block.startswith("## ") and "\n" not in block and after.startswith("## "))
    ]
    return "\n\n".join(kept) + "\n"


def _titled(campaign: str, text: str, campaigns: int) -> str:
    return f"**{prose(campaign)}**\n\n{text}" if text and campaigns > 1 else text


def _folded(title: str, text: str) -> str:
    return details(title, text) if text else ""


def _headed(title: str, text: str) -> str:
    return f"### {title}\n\n{text}" if text else ""


def _comparisons(summary: Summary, campaigns: Sequence[str]) -> str:
    texts = {name: matrix([one for one in summary.comparisons if one.campaign == name]) for name in campaigns}
    return "\n\n".join(_titled(name, text, len(campaigns)) for name, text in texts.items() if text)


def _demo(models: Sequence[SummaryModel]) -> str:
    number = sum(model.demo for model in models)
    if not number:
        return ""
    which = "All models are" if number == len(models) else f"{number:,} of {plural(len(models), 'model')} are"
    campaigns = ", ".join(dict.fromkeys(prose(model.campaign) for model in models if model.demo))
    return f"> **Demo** ({campaigns}): {which} trained on toy data, for demonstration only. Not for physics."


def _not_run(reasons: Mapping[str, str]) -> str:
    return "\n".join(f"- {prose(runtime)}: not run ({prose(reason)})" for runtime, reason in reasons.items())


def _specifications(
    groups: Mapping[str, Sequence[SummaryModel]], contracts: Mapping[str, Contract], large: Mapping[str, str]
) -> str:
    here = list(groups.items())[:CAMPAIGNS]
    texts = [_titled(campaign, specification(models, contracts), len(groups)) for campaign, models in here]
    return "\n\n".join([*texts, *_elsewhere(groups, large)])


def _advice(groups: Mapping[str, Sequence[SummaryModel]], large: Mapping[str, str]) -> str:
    here = list(groups.items())[:CAMPAIGNS]
    if len(groups) == 1:
        return advice(here[0][1])
    lines = "\n".join(f"- **{prose(campaign)}**: {advice(models)}" for campaign, models in here)
    return "\n\n".join([lines, *_elsewhere(groups, large)])


def _elsewhere(groups: Mapping[str, object], large: Mapping[str, str]) -> list[str]:
    links = [f"[{prose(name)}]({large[name]})" for name in list(groups)[CAMPAIGNS:] if name in large]
    return [f"For the others, see {', '.join(links)}."] if links else []


def _latency(groups: Mapping[str, Sequence[SummaryModel]]) -> str:
    parts = []
    for campaign, models in list(groups.items())[:CAMPAIGNS]:
        point = working_point(models)
        if point is not None:
            parts.append(
                _titled(campaign, f"{_sentence(models, str(point))}\n\n{tables.benchmark(models)}", len(groups))
            )
    return "\n\n".join(parts)


def _latencies(models: Sequence[SummaryModel]) -> str:
    point = working_point(models)
    if point is None:
        return ""
    body = [
        _sentence(models, str(point)),
        tables.benchmark(models),
        details("All latencies", tables.all_latencies(models)),
    ]
    return "\n\n".join(["## Latency", *body])


def _sentence(models: Sequence[SummaryModel], point: str) -> str:
    timed = sum(any(artifact.benchmark for artifact in model.artifacts) for model in models)
    if timed > 1:
        return (
            f"For {point}: medians over {plural(timed, 'model')}. The interval goes from the lowest to the highest "
            "end of the models' 95 % bootstrap intervals."
        )
    return f"For {point}, with the 95 % bootstrap interval of the median."


def _loading(models: Sequence[SummaryModel], contracts: Mapping[str, Contract]) -> str:
    seen: set[tuple[str, str]] = set()
    texts = []
    for model in sorted(models, key=lambda model: model.status != "passed"):
        for layout, contract in contracts_of([model], contracts).items():
            for artifact in model.artifacts:
                key = (artifact.format, layout)
                if artifact.layout != layout or key in seen or artifact.format not in loading.SNIPPETS:
                    continue
                seen.add(key)
                texts.append(_snippets(artifact.format, layout, artifact.path, contract))
    return "\n\n".join(texts)


def _snippets(format_: str, layout: str, path: str, contract: Contract) -> str:
    code = {"Python": loading.python(format_, path, contract), "C++": loading.cpp(format_, path, contract)}
    blocks = [f"```{FENCES[language]}\n{text}\n```" for language, text in code.items() if text]
    blocks += ["\n".join(f"- {prose(note)}" for note in contract.notes)] if contract.notes else []
    blocks += [f"{loading.legacy(format_)}."] if loading.legacy(format_) else []
    languages = " and ".join(language for language, text in code.items() if text)
    return details(f"{prose(format_)}, {prose(layout)} layout: {languages}", "\n\n".join(blocks))


def _environment(summary: Summary) -> str:
    made = summary.environment
    machine = f"{prose(made.cpu)} ({prose(made.isa)}), {plural(made.cores, 'core')}"
    rows = [
        ["written", prose(summary.generated)],
        ["machine", f"{machine}, load average {made.load_average:.2f}"],
        ["system", f"{prose(made.platform)}, Python {prose(made.python)}"],
        ["packages", pairs(made.packages).replace(" = ", " ")],
    ]
    texts = [table(["", "value"], rows, "ll")]
    if summary.templates:
        texts.append(f"### Templates\n\n{tables.templates(summary.templates[: aggregates.ROWS])}")
    return "\n\n".join(texts)
