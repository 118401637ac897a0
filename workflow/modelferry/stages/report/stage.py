"""Writes the report: figures, pages, and the JSON summary last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.core.files import write_text
from modelferry.plan import Plan
from modelferry.records.summary import Summary
from modelferry.stages.report import embedding_figures, figures
from modelferry.stages.report.blocks import Block, markdown, tables
from modelferry.stages.report.changes import changes
from modelferry.stages.report.collect import collect
from modelferry.stages.report.embeddings import Explored, collect_explorations, summarised
from modelferry.stages.report.first_page import compose
from modelferry.stages.report.grouping import EMBEDDINGS, FIRST_PAGE
from modelferry.stages.report.history import previous_report
from modelferry.stages.report.html_page import render_html
from modelferry.stages.report.page import MARK

FIGURES, TABLES, HTML_PAGE = "figures", "tables", "summary.html"


def report(plan: Plan) -> Summary:
    """Write the report on whatever is there, compared with the one before, and return its summary."""
    Path(paths.COMPLETE).unlink(missing_ok=True)
    summary, contracts = collect(plan)
    explored = collect_explorations(plan)
    summary = summary.model_copy(update={"explorations": summarised(explored)})
    with previous_report(summary, Path(paths.PREVIOUS)) as previous:
        write_report(summary, contracts, previous, Path(paths.REPORTS), explored)
    if summary.verdict == "failed":
        Path(paths.GATE).unlink(missing_ok=True)
    return summary


def write_report(
    summary: Summary,
    contracts: Mapping[str, Contract],
    previous: Summary | None,
    folder: Path,
    explored: Sequence[Explored] = (),
) -> list[Path]:
    """Write the report into `folder`, remove what an earlier report left, and return what was written.

    `contracts` are by ``campaign/layout``; `previous` is the report before, or None if this is the first.
    """
    for name in (FIGURES, TABLES):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shown = figures.draw(summary, folder / FIGURES)
    drawn = [path for one in explored for path in embedding_figures.draw(one.record, one.names, folder / FIGURES)]
    pages = compose(
        summary, contracts, changes(previous, summary), [path.name for path in shown if path.suffix == ".png"], explored
    )
    written = [*shown, *drawn, *_write_tables(pages, folder / TABLES)]
    texts = {name: f"{markdown(content)}\n" for name, content in pages.items()}
    texts[HTML_PAGE] = render_html(pages, [model.id for model in summary.models], folder / FIGURES)
    for name, text in texts.items():
        write_text(folder / name, text)
        written.append(folder / name)
    summary.write(folder / Summary.FILE)
    for path in _stale(folder):
        if path not in written:
            path.unlink(missing_ok=True)
    return [*written, folder / Summary.FILE]


def _write_tables(pages: Mapping[str, Sequence[Block]], folder: Path) -> list[Path]:
    """Write every table that has a name as CSV, those of a campaign's page with its name in front."""
    written = []
    for page, content in pages.items():
        front = "" if page == FIRST_PAGE else f"{page.removesuffix('.md')}-"
        for table in tables(content):
            if table.name:
                path = folder / f"{front}{table.name}.csv"
                write_text(path, table.frame.to_csv(index=False))
                written.append(path)
    return written


def _stale(folder: Path) -> list[Path]:
    """Return the pages, tables and figures in the folder that a report wrote; nothing else may ever be removed."""
    pages = [path for path in folder.glob("*.md") if path.is_file()]
    pages = [path for path in pages if path.read_text(errors="replace").startswith(MARK)]
    known = [
        folder / FIGURES / Path(name).with_suffix(ending) for name in figures.TITLES for ending in (".png", ".svg")
    ]
    of_embeddings = (folder / FIGURES).glob(f"{EMBEDDINGS}*.png")
    return [*pages, *known, *of_embeddings, *(folder / TABLES).glob("*.csv")]
