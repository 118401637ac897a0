"""The sections of all pages, in their order: title, text, and the kinds of pages that have it."""

from __future__ import annotations

from modelferry.core.tolerances import BULK, TAIL
from modelferry.stages.report import failures, figures, probes, snippets, tables, warnings
from modelferry.stages.report.artifact_matrix import matrix
from modelferry.stages.report.blocks import Block, Folded, Table, blocks, folded, headed
from modelferry.stages.report.formatting import code, digest, pairs, plural, prose
from modelferry.stages.report.grouping import FIRST_PAGE
from modelferry.stages.report.latency import INTERVAL, spreads, working_point
from modelferry.stages.report.page import (
    ALL,
    CAMPAIGN,
    FIRST,
    MARK,
    MODELS,
    OVERVIEW,
    Page,
    Part,
    demo,
)
from modelferry.stages.report.recommendation import advice, advice_by_campaign
from modelferry.stages.report.specification import overview, specification

MEANING = (
    "Errors are differences from the network as trained in float64, in units of the root-mean-square error that the "
    f"network itself makes in float32. An artifact passes if its error over all events is at most {BULK:g}, and that "
    f"of each event at most {TAIL:g}, unless the network itself is as far off at that event, or if it agrees within a "
    "tolerance that the config asks for. An error near 1 says that the artifact is as accurate as what was trained; "
    "ULPs count the float32 numbers between the two outputs."
)
READ_BACK = (
    "Tensors read back: the number of weights inside the file that were compared with the checkpoint's bit by bit."
)
ELSEWHERE = (
    "Each campaign's page has the same model by model, and the rest of what was measured: decisions, every pair of "
    "sizes, properties, inputs outside the contract, all latencies, how to load each format, digests."
)
CERTIFIED = (
    "What no weights can change was proven once for each template and runtime, with random weights: every pair of "
    "sizes, awkward events, inputs outside the contract, properties, controls. Each model's own file was then shown to "
    "be that template with its weights, byte for byte, and compared with the network as trained on its events, with a "
    "control of its own."
)
OUTLIERS = 10
"""Models that are listed for their latencies."""
PAIRS = "Largest change of the area under the ROC curve, by pair of classes"
OUTSIDE = "Inputs outside the contract"
NO_P99 = "p99 is absent where too few calls were timed to speak of one."
DIGESTS = "Checkpoints and artifacts by SHA-256 (in full in summary.json)"


def headline(page: Page) -> str:
    """Return the verdict in one line."""
    passed = [model for model in page.models if model.status == "passed"]
    counted = f"{len(passed):,} of {plural(len(page.models), 'model')} validated"
    if page.kind == CAMPAIGN:
        return f"{prose(next(iter(page.groups)))}: {counted}"
    artifacts = [artifact for model in passed for artifact in model.artifacts if artifact.validation]
    formats = {artifact.format for artifact in artifacts if artifact.exactness == "exact"}
    where = f" in {plural(len(formats), 'format')}" if formats else ""
    return f"{page.summary.verdict.capitalize()}: {counted}{where}"


def _not_run(page: Page) -> str:
    reasons = page.summary.runtimes_not_run
    return "\n".join(f"- {prose(runtime)}: not run ({prose(reason)})" for runtime, reason in reasons.items())


def latency(page: Page) -> list[Block]:
    """Return the latencies at the working point, and what their interval is; nothing if nothing was timed."""
    timed = sum(any(artifact.benchmark for artifact in model.artifacts) for model in page.models)
    if not timed:
        return []
    point = working_point(page.models)
    sentence = f"For {point}: medians over {plural(timed, 'model')}. {INTERVAL}"
    if page.kind == OVERVIEW:
        sentence = f"Medians over the models of a campaign. {INTERVAL}"
    elif timed == 1:
        sentence = f"For {point}, with the 95 % bootstrap interval of the median."
    return blocks(f"{sentence} {_loads(page)}{NO_P99}", tables.latencies(page), _spread(page))


def _loads(page: Page) -> str:
    """Return how busy the machine was while artifacts were timed, if it did anything else."""
    rows = [row for model in page.models for artifact in model.artifacts for row in artifact.benchmark]
    highest = max((row.load_average for row in rows if row.load_average is not None), default=0.0)
    cores = page.summary.environment.cores
    text = f"The load average was {highest:.2f} at most, on {plural(cores, 'core')}"
    return f"{text}: others were at work, and times are longer than on an idle machine. " if highest > cores else ""


def _spread(page: Page) -> str:
    """Return how far latencies depend on the weights, and which models stand out; empty for a few models."""
    found = [spread for models in page.groups.values() for spread in spreads(models)]
    if not found:
        return ""
    widest = max(found, key=lambda spread: spread.middle)
    where = f"{prose(widest.export)} in {widest.runtime}"
    text = (
        f"The same export of other weights takes as long: half of the models are within ± {100 * widest.middle:.2g} % "
        f"around the middle, at most ({where}, {plural(widest.models, 'model')})."
    )
    outliers = [
        f"- {code(model)}: {prose(spread.export)} in {spread.runtime} takes {ratio:.2g} × the median"
        for spread in found
        for model, ratio in spread.outliers
    ]
    listed = "\n".join(outliers[:OUTLIERS])
    more = f"\n- … and {len(outliers) - OUTLIERS} more" if len(outliers) > OUTLIERS else ""
    return f"{text}\n\n**Outliers**\n\n{listed}{more}" if outliers else f"{text} No model stands out."


def _every_model(page: Page) -> Folded | None:
    first = f", the first {tables.WORST} of {len(page.models):,}" if len(page.models) > tables.WORST else ""
    return folded(f"Models by margin, failures before all others{first}", tables.all_models(page))


def _controls(page: Page) -> Folded | None:
    controls = page.summary.controls
    seen = f"{sum(control.detected for control in controls)} of {plural(len(controls), 'kind')}"
    title = f"{seen} of deliberately broken artifacts were detected"
    return folded(title, tables.controls(controls))


def _certificates(page: Page) -> list[Block]:
    certificates = page.summary.certificates
    return blocks(CERTIFIED, tables.certificates(certificates)) if certificates else []


def _environment(page: Page) -> Table:
    made = page.summary.environment
    machine = f"{prose(made.cpu)} ({prose(made.isa)}), {plural(made.cores, 'core')}"
    commit = f"commit {page.summary.commit}" if page.summary.commit else "a folder without version control"
    rows = [
        [
            "written",
            f"{prose(page.summary.generated)}, from {prose(commit)}, config {digest(page.summary.config_sha256)}",
        ],
        [
            "machine",
            f"{machine}, load average {made.load_average:.2f}, {prose(made.platform)}, Python {prose(made.python)}",
        ],
        ["packages", pairs(made.packages).replace(" = ", " ")],
    ]
    return Table("environment", ["", "value"], rows, "ll")


def _changed(page: Page) -> str:
    return "\n".join(f"- {sentence}" for sentence in page.changed) or "Nothing but timings."


def _image(name: str) -> Part:
    return lambda page: page.images.get(name), FIRST


SECTIONS: dict[str, tuple[Part, ...]] = {
    "": (
        (lambda page: MARK, ALL),
        (lambda page: f"# {headline(page)}", ALL),
        (lambda page: f"All campaigns and figures: [first page]({FIRST_PAGE}).", {CAMPAIGN}),
        (lambda page: demo(page.models), ALL),
        (_not_run, FIRST),
    ),
    "Which artifact to ship": (
        (advice_by_campaign, {OVERVIEW}),
        (lambda page: advice(page.models), MODELS),
    ),
    "What failed, and why": ((failures.section, ALL),),
    "Warnings": ((warnings.section, ALL),),
    "What changed since the previous report": ((_changed, FIRST),),
    "Models": (
        (tables.groups, {OVERVIEW}),
        (lambda page: ELSEWHERE, {OVERVIEW}),
        (lambda page: tables.models_by_axis(page.models), MODELS),
        (_every_model, FIRST),
        (lambda page: folded("AUC of the demo models on held-out events", tables.training(page.models)), MODELS),
    ),
    "Specification": (
        (overview, {OVERVIEW}),
        (lambda page: specification(page.models, page.contracts), MODELS),
    ),
    "Size and parameters": ((tables.sizes, ALL),),
    "Numerical differences": (
        (lambda page: MEANING if page.kind == OVERVIEW else f"{MEANING} {READ_BACK}", ALL),
        (tables.least_margins, {OVERVIEW}),
        (lambda page: tables.differences(page.models), MODELS),
        _image(figures.DIFFERENCE),
        (lambda page: headed("Between any two", matrix(page.of_campaigns(page.summary.comparisons))), MODELS),
        (lambda page: headed("What they do to decisions", tables.decisions(page.models)), MODELS),
        (lambda page: folded(PAIRS, probes.class_pairs(page.models)), MODELS),
        (lambda page: headed("Every pair of sizes", probes.shapes(page.of_campaigns(page.summary.probes))), MODELS),
        (lambda page: headed("Properties", probes.properties(page.models)), MODELS),
        (lambda page: headed(OUTSIDE, probes.outside(page.of_campaigns(page.summary.probes))), MODELS),
    ),
    "Latency": (
        (latency, ALL),
        *map(_image, (figures.BY_FORMAT, figures.BY_PARTICLES, figures.BY_BATCH)),
        (lambda page: folded("All latencies", tables.all_latencies(page.models)), MODELS),
    ),
    "Embeddings": ((lambda page: page.embeddings, ALL),),
    "How to load what to ship": (
        (lambda page: snippets.LOADERS, {OVERVIEW}),
        (snippets.loading, {OVERVIEW}),
    ),
    "How to load the artifacts": (
        (lambda page: snippets.LOADERS, MODELS),
        (snippets.loading, MODELS),
    ),
    "Digests": ((lambda page: folded(DIGESTS, tables.digests(page.models)), MODELS),),
    "Certificates": ((_certificates, FIRST),),
    "Controls": ((_controls, FIRST),),
    "Environment": (
        (_environment, FIRST),
        (lambda page: folded("Files of real events", tables.event_files(page.summary.data)), FIRST),
        (lambda page: folded("Templates", tables.templates(page.summary.templates)), FIRST),
    ),
}
"""By title, the texts of a section and the kinds of pages that have them. A new table is a function and a line here."""
