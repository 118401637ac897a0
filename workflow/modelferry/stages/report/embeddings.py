"""What embeddings hold: a short section of the first page, and a page of its own for each campaign."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelferry.core import paths
from modelferry.core.errors import ArtifactError
from modelferry.plan import Plan
from modelferry.records.embeddings import Embeddings, Exploration, ExploredModel, RocCurve
from modelferry.records.summary import SummaryExploration
from modelferry.stages.report import embedding_figures as figures
from modelferry.stages.report.blocks import Block, Columns, Content, Image, Table, blocks, tabulate
from modelferry.stages.report.formatting import NOTHING, code, count, decimal, fixed, pairs, plural, prose, scientific
from modelferry.stages.report.grouping import EMBEDDINGS, FIRST_PAGE, page_stem, shortened

HALF = 0.5
"""Signal efficiency at which the table gives the rejection of the background."""
HOW = (
    "Jets of each class are taken evenly from the tables. AUC and rejection are of p_c / (p_c + p_{against}), from the "
    "network's own scores. The linear probe is a logistic regression on standardised embeddings, learned from one half "
    "of the jets and measured on the other; beside it the same on the kinematics of the jet alone (what an embedding "
    "has to beat), and with shuffled labels (which has to stay at 0.5). Transfer: the probe of one model reads the "
    "embeddings of another, put into its space by a linear map that was fitted to the first half of the jets."
)


@dataclass(frozen=True)
class Explored:
    """A campaign's exploration, the tables that it is of, and short names of its models."""

    record: Exploration
    tables: tuple[Embeddings, ...]
    names: Mapping[str, str]


def collect_explorations(plan: Plan) -> list[Explored]:
    """Return what the embeddings of each campaign hold, as far as it was recorded."""
    explored = []
    for campaign, models in plan.explored.items():
        try:
            record = Exploration.read(paths.exploration(campaign))
            tables = tuple(Embeddings.read(paths.embeddings(planned.id)) for planned in models)
        except ArtifactError:
            continue
        explored.append(Explored(record, tables, shortened([model.model for model in record.models])))
    return explored


def summarised(explored: Sequence[Explored]) -> tuple[SummaryExploration, ...]:
    """Return what the summary for machines says."""
    return tuple(
        SummaryExploration(
            model=model.model,
            against=one.record.against,
            jets=one.record.jets,
            accuracy=model.accuracy,
            auc=_mean_auc(model),
            probe_auc=_probes(model)["embedding"],
        )
        for one in explored
        for model in one.record.models
    )


def page_name(campaign: str) -> str:
    """Return the file name of a campaign's page of embeddings."""
    return f"{EMBEDDINGS}{page_stem(campaign)}.md"


def section(explored: Sequence[Explored]) -> list[Block]:
    """Return the section of the first page."""
    link = "[figures, ROC curves and transfer]"
    return blocks(
        *(
            [f"**{prose(one.record.campaign)}**: {link}({page_name(one.record.campaign)})", _models(one)]
            for one in explored
        )
    )


def page(one: Explored, mark: str) -> list[Block]:
    """Return the page of a campaign."""
    record = one.record
    demo = any(model.demo for model in record.models)
    where = "\n".join(f"- {code(paths.embedding_tables(t.model))}: {_counts(t)}" for t in one.tables)
    return blocks(
        mark,
        f"# {prose(record.campaign)}: what the embeddings hold",
        f"All models: [first page]({FIRST_PAGE}).",
        "> **Demo**: toy jets and networks trained on them, for demonstration only. Not for physics." if demo else "",
        _models(one),
        HOW.replace("{against}", prose(record.against)),
        "## In two dimensions",
        _image(one, "projections"),
        f"## Each class against {prose(record.against)}",
        _image(one, "roc"),
        f"Curves end where no jet of {prose(record.against)} passes; dotted: guessing.",
        _classes(one),
        "## Confusion",
        _image(one, "confusion"),
        "## Linear probes, and what transfers",
        _image(one, "probes"),
        _transfers(one),
        "## Tables",
        f"One CSV and one parquet file a class, a row for each jet:\n\n{where}",
    )


def _models(one: Explored) -> Table | None:
    columns: Columns = {
        "model": lambda model, probe: prose(one.names[model.model]),
        "jets": lambda model, probe: count(one.record.jets),
        "width": lambda model, probe: count(model.width),
        "accuracy": lambda model, probe: fixed(model.accuracy, 3),
        f"AUC against {prose(one.record.against)}, mean": lambda model, probe: fixed(_mean_auc(model), 3),
        "linear probe": lambda model, probe: fixed(probe["embedding"], 3),
        "kinematics only": lambda model, probe: fixed(probe["kinematics"], 3),
        "shuffled labels": lambda model, probe: fixed(probe["shuffled labels"], 3),
    }
    return tabulate(
        f"embeddings-{page_stem(one.record.campaign)}", columns, [(m, _probes(m)) for m in one.record.models], "l"
    )


def _probes(model: ExploredModel) -> dict[str, float]:
    """Return the AUC of each probe that learned from most jets."""
    return {curve.features: curve.auc[-1] for curve in model.probes}


def _mean_auc(model: ExploredModel) -> float:
    return sum(curve.auc for curve in model.roc) / len(model.roc)


def _classes(one: Explored) -> Table:
    header = [
        "class",
        *(f"{prose(one.names[model.model])}: {what}" for model in one.record.models for what in _COLUMNS),
    ]
    rows = []
    for index, curve in enumerate(one.record.models[0].roc):
        cells = [text for model in one.record.models for text in _cells(model.roc[index])]
        rows.append([prose(curve.name), *cells])
    return Table("classes", header, rows, "l")


_COLUMNS = ("AUC", "its uncertainty", "rejection at 50 %")


def _cells(curve: RocCurve) -> tuple[str, ...]:
    background = curve.background[min(range(len(curve.signal)), key=lambda index: abs(curve.signal[index] - HALF))]
    fewest = 1 / curve.jets[1]
    rejection = decimal(1 / background) if background >= fewest else f"> {decimal(curve.jets[1])}"
    return fixed(curve.auc, 4), scientific(uncertainty(curve.auc, *curve.jets)), rejection


def uncertainty(auc: float, signal: int, background: int) -> float:
    """Return the standard error of an AUC that was measured on so many jets (Hanley and McNeil, 1982)."""
    both_signal, both_background = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (signal - 1) * (both_signal - auc**2) + (background - 1) * (both_background - auc**2)
    return math.sqrt(max(variance, 0) / (signal * background))


def _transfers(one: Explored) -> Content:
    if not one.record.comparisons:
        return "One model only: there is nothing to compare it with."
    columns: Columns = {
        "probe of": lambda pair: prose(one.names[pair.first]),
        "embeddings of": lambda pair: prose(one.names[pair.second]),
        "linear CKA": lambda pair: fixed(pair.cka, 3),
        "own AUC of the first": lambda pair: fixed(pair.first_auc, 4),
        "of the second": lambda pair: fixed(pair.second_auc, 4),
        "transferred": lambda pair: fixed(pair.transferred_auc, 4),
    }
    return tabulate("transfer", columns, [(pair,) for pair in one.record.comparisons], "ll")


def _counts(tables: Embeddings) -> str:
    rows = pairs({one.name: one.rows for one in tables.tables})
    return f"{prose(tables.counts)}, from {plural(len(tables.files), 'file')}; {rows or NOTHING}"


def _image(one: Explored, kind: str) -> Image:
    return Image(figures.figure_name(one.record.campaign, kind), figures.TITLES[kind])
