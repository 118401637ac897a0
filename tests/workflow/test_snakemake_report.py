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
    shown = ["summary.html"]
    shown += [path.name for path in (finished.path / "reports/figures").glob("*.svg")]
    shown += [path.name for path in (finished.path / "reports/tables").glob("*.csv")]
    assert len(shown) > 10
    assert [name for name in shown if name not in page] == []
    said = ("Its tables sort and filter", "Numerical difference, over all models", "The table &quot;models&quot;")
    assert [words for words in said if words not in page] == []


def test_report_says_what_the_workflow_does(page: str) -> None:
    assert "compares each file that ships with the network as it was trained" in page
    for category in ("Report", "Figures", "Tables"):
        assert f'"{category}"' in page
