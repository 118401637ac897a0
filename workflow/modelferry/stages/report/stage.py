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
from modelferry.stages.report.changes import changes
from modelferry.stages.report.collect import collect
from modelferry.stages.report.embeddings import Explored, collect_explorations, summarised
from modelferry.stages.report.first_page import render
from modelferry.stages.report.grouping import EMBEDDINGS
from modelferry.stages.report.history import previous_report
from modelferry.stages.report.page import MARK

FIGURES = "figures"


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
    """Write the report into `folder` and remove pages and figures that an earlier report left; return what was written.

    `contracts` are by ``campaign/layout``; `previous` is the report before, or None if this is the first.
    """
    drawn = figures.draw(summary, folder / FIGURES)
    relative = [path.relative_to(folder) for path in drawn]
    drawn += [path for one in explored for path in embedding_figures.draw(one.record, one.names, folder / FIGURES)]
    pages = render(summary, contracts, changes(previous, summary), relative, explored)
    for name, text in pages.items():
        write_text(folder / name, text)
    summary.write(folder / Summary.FILE)
    written = [*drawn, *(folder / name for name in pages), folder / Summary.FILE]
    for path in _stale(folder):
        if path not in written:
            path.unlink(missing_ok=True)
    return written


def _stale(folder: Path) -> list[Path]:
    """Return the pages and figures in the folder that a report wrote; nothing else may ever be removed."""
    pages = [path for path in folder.glob("*.md") if path.is_file()]
    pages = [path for path in pages if path.read_text(errors="replace").startswith(MARK)]
    of_embeddings = (folder / FIGURES).glob(f"{EMBEDDINGS}*.png")
    return [*pages, *(folder / FIGURES / name for name in figures.TITLES), *of_embeddings]
