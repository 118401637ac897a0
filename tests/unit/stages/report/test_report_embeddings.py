"""The report's pages of embeddings: what they say, their figures, and that the first page stays short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelferry.records import FileFacts
from modelferry.records.embeddings import (  # fmt: skip
    EmbeddingComparison,
    Embeddings,
    EmbeddingTable,
    Exploration,
    ExploredModel,
    ProbeCurve,
    Projection,
    RocCurve,
)
from modelferry.stages.report import embedding_figures, embeddings
from modelferry.stages.report.blocks import markdown
from modelferry.stages.report.grouping import shortened
from modelferry.stages.report.page import MARK
from modelferry.stages.report.stage import write_report
from report_samples import CONTRACTS, rendered, six, summary

CLASSES = ("QCD", "Hbb", "Tbl")


def curve(name: str, background: float = 0.02) -> RocCurve:
    return RocCurve(name=name, signal=(0.1, 0.5, 1.0), background=(0.0, background, 1.0), auc=0.9321, jets=(40, 200))


def model(fold: int, demo: bool = True) -> ExploredModel:
    probes = [("embedding", 0.97), ("kinematics", 0.81), ("shuffled labels", 0.502)]
    return ExploredModel(
        model=f"jets/fold-{fold}", width=32, demo=demo, accuracy=0.674, confusion=((8, 1, 1), (0, 10, 0), (2, 0, 8)),
        roc=(curve("Hbb"), curve("Tbl", 0.001)),
        projections=tuple(Projection(method=m, x=(0, 1, 2), y=(1, 0, 3)) for m in ("PCA", "t-SNE")),
        probes=tuple(ProbeCurve(features=f, jets=(30, 90), auc=(a - 0.1, a), spread=(0.01, 0)) for f, a in probes),
    )  # fmt: skip


def explored(models: int = 2, demo: bool = True, campaign: str = "jets") -> embeddings.Explored:
    names = [f"jets/fold-{fold}" for fold in range(models)]
    pairs = [(a, b) for a in names for b in names if a != b]
    record = Exploration(
        campaign=campaign, against="QCD", classes=CLASSES, jets=240, drawn=(0, 1, 2),
        models=tuple(model(fold, demo) for fold in range(models)),
        comparisons=tuple(
            EmbeddingComparison(first=a, second=b, cka=0.8912, first_auc=0.97, second_auc=0.96, transferred_auc=0.95)
            for a, b in pairs
        ),
        seconds=1,
    )  # fmt: skip
    facts = FileFacts(path="", bytes=0, sha256="")
    tables = tuple(
        Embeddings(
            model=name, export="onnx", artifact_sha256="", checkpoint_sha256="", demo=demo, validated=True,
            files=("a.root", "b.root"), jets=250, kept=240, left_out={"no particles": 10}, noted={}, classes=CLASSES,
            tables=tuple(EmbeddingTable(name=c, rows=80, csv=facts, parquet=facts) for c in CLASSES),
        )
        for name in names
    )  # fmt: skip
    return embeddings.Explored(record, tables, shortened(names))


def test_page_says_what_was_measured_and_what_was_left_out() -> None:
    page = markdown(embeddings.page(explored(), MARK))
    assert page.startswith(MARK)
    assert "| fold-0 | 240 | 32 | 0.674 | 0.932 | 0.970 | 0.810 | 0.502 |" in page
    assert "| Hbb | 0.9321 | 2.8e-2 | 50.0 |" in page
    assert "| Tbl | 0.9321 | 2.8e-2 | > 200 |" in page, "no jet of 200 passes: a bound, not a number"
    assert "| fold-0 | fold-1 | 0.891 | 0.9700 | 0.9600 | 0.9500 |" in page
    assert "250 jets read, 240 kept; 10 left out: no particles, from 2 files" in page
    assert "`results/jets/fold-0/embeddings/classes`" in page


def test_demo_is_called_demo_and_others_are_not() -> None:
    assert "Not for physics" in markdown(embeddings.page(explored(), MARK))
    assert "Demo" not in markdown(embeddings.page(explored(demo=False), MARK))


def test_one_model_has_nothing_to_be_compared_with() -> None:
    assert "nothing to compare it with" in markdown(embeddings.page(explored(1), MARK))


def test_first_page_has_a_short_section_with_a_link() -> None:
    found = summary(six())
    before = rendered(found)
    pages = rendered(found, explored=[explored()])
    assert "## Embeddings" not in before["summary.md"]
    assert "## Embeddings" in pages["summary.md"]
    assert pages.keys() - before.keys() == {"embeddings-jets.md"}
    assert "(embeddings-jets.md)" in pages["summary.md"]
    assert len(pages["summary.md"].splitlines()) - len(before["summary.md"].splitlines()) <= 10


def test_summary_for_machines_has_a_line_for_each_model() -> None:
    first, second = embeddings.summarised([explored()])
    assert (first.model, second.model) == ("jets/fold-0", "jets/fold-1")
    assert (first.against, first.jets, first.accuracy, first.probe_auc) == ("QCD", 240, 0.674, 0.97)
    assert first.auc == pytest.approx(0.9321)


@pytest.mark.parametrize("models", [1, 2, 3])
def test_all_figures_of_a_page_are_drawn_and_go_with_the_campaign(models: int, tmp_path: Path) -> None:
    found = summary(six(timed=False))
    write_report(found, CONTRACTS, None, tmp_path, [explored(models)])
    page = (tmp_path / "embeddings-jets.md").read_text()
    links = re.findall(r"!\[[^\]]+\]\((\S+)\)", page)
    assert len(links) == len(embedding_figures.TITLES)
    for link in links:
        assert (tmp_path / link).stat().st_size > 5000
    (tmp_path / "embeddings-mine.md").write_text("a page of somebody else")
    write_report(found, CONTRACTS, None, tmp_path)
    assert not list((tmp_path / "figures").glob("embeddings-*"))
    assert [path.name for path in tmp_path.glob("embeddings-*.md")] == ["embeddings-mine.md"]


def test_the_same_exploration_gives_the_same_figures(tmp_path: Path) -> None:
    one = explored()
    for name in ("a", "b"):
        embedding_figures.draw(one.record, one.names, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_colours_of_classes_differ_and_the_background_is_grey() -> None:
    many = explored().record.model_copy(update={"classes": tuple(f"c{n}" for n in range(14)), "against": "c3"})
    colours = embedding_figures.class_colours(many)
    assert len(colours) == len(set(colours.values())) == 10
    assert colours["c3"] == embedding_figures.BACKGROUND
