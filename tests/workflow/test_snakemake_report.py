"""`snakemake --report` on a finished run: what it shows, and what it says beside it."""

import pytest

from workflow_harness import Folder


@pytest.fixture(scope="module")
def page(finished: Folder, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "page.html"
    done = finished.snakemake("--report", str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "No files found" not in done.stderr
    return path.read_text()


def test_report_has_the_page_the_figures_and_the_tables_with_captions(page: str, finished: Folder) -> None:
    figures = [path.stem for path in (finished.path / "reports/figures").glob("*.svg")]
    tables = [path.stem for path in (finished.path / "reports/tables").glob("*.csv")]
    assert len(figures) > 1
    assert len(tables) > 5
    shown = ["summary.html", *(f"{name}.svg" for name in figures), *(f"{name}.csv" for name in tables)]
    said = [
        "Its tables sort and filter",
        *(f"{name.replace('-', ' ').capitalize()}, over all models" for name in figures),
        *(f"The table &quot;{name.replace('-', ' ')}&quot;" for name in tables),
    ]
    assert [words for words in (*shown, *said) if words not in page] == []


def test_report_says_what_the_workflow_does(page: str) -> None:
    assert "compares each file that ships with the network as it was trained" in page
    for category in ("Report", "Figures", "Tables"):
        assert f'"{category}"' in page
