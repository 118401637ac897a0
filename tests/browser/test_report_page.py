"""The HTML page of the report in a real browser: `make test-browser`, with Debian's chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelferry.stages.report.stage import write_report
from report_samples import CONTRACTS, failed, model, summary

pytestmark = pytest.mark.skipif(
    "MODELFERRY_TEST_BROWSER" not in os.environ, reason="needs a browser: make test-browser"
)
FIRST_PAINT, SORTING = 1500, 300
"""Milliseconds at most."""
CLICK = """place => {
  const head = document.querySelector(place), start = performance.now();
  head.click();
  document.body.offsetHeight;
  return performance.now() - start;
}"""
DIFFERENCES = '[data-name="differences"]'
MODELS = '[data-name="all-models"]'


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("a report")
    formats, runtimes = ("torchscript", "onnx", "aotinductor"), ("pytorch", "cpp")
    models = [
        model(channel, f"MHc{mass}", fold, formats=formats, runtimes=runtimes, diff=1e-8 * (1 + 7 * mass % 60))
        for channel in ("A", "B")
        for mass in range(60)
        for fold in range(5)
    ]
    models[77] = failed(models[77], "it differs by 0.31")
    write_report(summary(models), CONTRACTS, None, folder)
    return (folder / "summary.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium") or pytest.fail("no chromium: apt install chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """Give the page, and see to it that the browser complained of nothing."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
    page.goto(address)
    yield page
    page.close()
    assert not complaints


def opened(page: Any, place: str) -> Any:
    """Return a table, with all that it is folded into open."""
    page.evaluate("place => reveal(document.querySelector(place))", place)
    return page.locator(place)


def column(table: Any, title: str) -> list[str]:
    """Return the shown texts of a column."""
    titles = table.locator("th").all_inner_texts()
    return table.locator(f"tbody tr:not(.opened) td:nth-child({titles.index(title) + 1})").all_inner_texts()


def test_a_column_sorts_by_its_numbers_both_ways_and_quickly(page: Any) -> None:
    table = opened(page, DIFFERENCES)
    head = table.get_by_role("button", name="max abs diff", exact=True)
    for expected, down in (("ascending", False), ("descending", True)):
        head.click()
        assert table.locator("th[aria-sort]").get_attribute("aria-sort") == expected
        shown = [float(text) for text in column(table, "max abs diff")]
        assert shown == sorted(shown, reverse=down)
        assert len(set(shown)) > 1
    assert page.evaluate(CLICK, f"{DIFFERENCES} th:nth-child(4) button") < SORTING


def test_first_paint_is_quick(page: Any) -> None:
    paints = page.evaluate("performance.getEntriesByType('paint').map(entry => entry.startTime)")
    assert paints
    assert max(paints) < FIRST_PAINT


def test_rows_are_filtered_by_words(page: Any) -> None:
    table = opened(page, MODELS)
    table.get_by_role("searchbox").fill("a/mhc7/ fold-3")
    assert column(table, "model") == ["charged_higgs/A/MHc7/fold-3"]
    assert table.locator(".count").inner_text() == "1 of 600 rows"
    table.get_by_role("searchbox").fill("no such model")
    assert column(table, "model") == []
    table.get_by_role("searchbox").fill("")
    assert len(column(table, "model")) == 100
    table.get_by_role("button", name="Show all").click()
    assert len(column(table, "model")) == 600


def test_the_failed_model_is_first_and_opens_with_all_that_is_known_of_it(page: Any) -> None:
    table = opened(page, MODELS)
    assert column(table, "status")[:2] == ["failed", "passed"]
    table.locator("tbody button").first.click()
    inside = table.locator("tr.opened")
    assert "it differs by 0.31" in table.locator("tbody tr").first.inner_text()
    assert {"Numerical differences", "All latencies"} <= set(inside.locator("h3").all_inner_texts())
    table.locator("tbody button").first.click()
    assert inside.count() == 0


def test_the_address_of_a_model_opens_it(page: Any, address: str) -> None:
    page.goto("about:blank")
    page.goto(f"{address}#model=charged_higgs%2FB%2FMHc9%2Ffold-0")
    assert page.locator(f"{MODELS} tbody tr").first.locator("td").first.inner_text() == "charged_higgs/B/MHc9/fold-0"
    assert page.locator("tr.opened").count() == 1


def test_a_table_is_saved_as_csv(page: Any, tmp_path: Path) -> None:
    table = opened(page, MODELS)
    with page.expect_download() as saved:
        table.get_by_role("button", name="CSV").click()
    saved.value.save_as(tmp_path / "models.csv")
    lines = (tmp_path / "models.csv").read_text().splitlines()
    assert len(lines) == 601
    assert saved.value.suggested_filename == "all-models.csv"


@pytest.mark.parametrize("width", [360, 1600])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(folded => { folded.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_light_or_dark_as_the_reader_likes(page: Any) -> None:
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(22, 25, 28)"]


def test_it_prints(page: Any) -> None:
    assert page.pdf()[:5] == b"%PDF-"
