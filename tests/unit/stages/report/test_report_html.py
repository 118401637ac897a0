"""The HTML page and the CSV files: what they hold, and how large they get."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from modelferry.stages.report.blocks import Table, tables
from modelferry.stages.report.first_page import compose
from modelferry.stages.report.stage import write_report
from report_samples import CONTRACTS, failed, missing, model, six, summary


def many(models: int) -> list:
    formats, runtimes = ("torchscript", "onnx", "aotinductor"), ("pytorch", "cpp")
    return [
        model(channel, f"MHc{mass}", fold, formats=formats, runtimes=runtimes, diff=1e-7 * (1 + mass))
        for channel in ("A", "B")
        for mass in range(models // 10)
        for fold in range(5)
    ]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large report")
    models = many(600)
    models[77] = failed(models[77], "it differs by 0.31")
    write_report(summary(models), CONTRACTS, None, folder)
    return folder


def data_of(page: str) -> list[dict]:
    return [json.loads(text) for text in re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)]


def test_a_report_of_six_hundred_models_stays_small(large: Path) -> None:
    assert (large / "summary.md").stat().st_size <= 60e3
    assert (large / "summary.html").stat().st_size <= 8e6
    assert all(path.stat().st_size <= 300e3 for path in large.glob("*.md"))


def test_every_model_is_in_the_html_page_and_in_the_csv_files(large: Path) -> None:
    page = (large / "summary.html").read_text()
    rows = {len(table["columns"][0]["rows"]) for table in data_of(page) if table["keys"]}
    assert {600, 3595} <= rows, "a row for each model, and for each validation; the failed model has one of six"
    assert len(pd.read_csv(large / "tables/charged_higgs-differences.csv")) == 3595
    assert len(pd.read_csv(large / "tables/all-models.csv")) == 600


def test_failures_are_before_all_others_and_then_the_least_margin(large: Path) -> None:
    frame = pd.read_csv(large / "tables/all-models.csv")
    assert frame["status"][0] == "failed"
    assert frame["why not"][0] == "it differs by 0.31"
    used = frame["it uses of what is allowed [%]"][1:]
    assert used.is_monotonic_decreasing
    assert used.nunique() > 1


def test_the_html_page_needs_no_other_file_and_no_network(tmp_path: Path) -> None:
    write_report(summary(six(formats=("torchscript", "onnx"))), CONTRACTS, None, tmp_path)
    page = (tmp_path / "summary.html").read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert not re.search(r"https?://(?!www\.w3\.org)", re.sub(r"data:image/[^\"]*", "", page))


def test_every_figure_has_a_text_that_says_what_one_sees(tmp_path: Path) -> None:
    write_report(summary(six(formats=("torchscript", "onnx"))), CONTRACTS, None, tmp_path)
    page = (tmp_path / "summary.html").read_text()
    texts = re.findall(r'<img alt="([^"]*)" src="data:image/svg', page)
    assert len(texts) == 4
    assert "× faster than eager" in texts[1]
    assert all(len(text) > 40 for text in texts)
    for image in re.findall(r"base64,([^\"]*)", page):
        assert b"<svg" in base64.b64decode(image)


class Links(HTMLParser):
    """Ids and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids |= {found["id"]} if found.get("id") else set()
        self.links += [found["href"]] if tag == "a" and found.get("href") else []


def test_links_lead_somewhere(tmp_path: Path) -> None:
    models = [*six(), *six(campaign="other")]
    write_report(summary(models), CONTRACTS, None, tmp_path)
    page = Links((tmp_path / "summary.html").read_text())
    assert len(page.links) > 3
    assert all(link.removeprefix("#") in page.ids for link in page.links)


def test_numbers_in_csv_files_are_whole_and_typed(tmp_path: Path) -> None:
    models = six(diff=1.23456789e-7)
    write_report(summary(models), CONTRACTS, None, tmp_path)
    frame = pd.read_csv(tmp_path / "tables/differences.csv")
    assert frame["max abs diff"].tolist() == [m.artifacts[0].validation[0].max_abs_diff for m in models]
    assert pd.api.types.is_integer_dtype(frame["events"])


UNITS = re.compile(r"\[(ms|MB|%|s)\]$")
COUNTS = re.compile(
    r"^(models|passed|failed|missing|events|of them real|parameters|max ULPs|argmax flips.*|labelled events|threads|"
    r"batch|particles|samples|warnings|tensors read back|flips among them|ill-conditioned|points|correct|rejected.*|"
    r"sets of weights|.*malformed inputs|controls|models .*|sizes and kinds.*)$"
)
WITHOUT_UNIT = re.compile(
    r"diff|error|float64|rtol|atol|shift|ΔAUC|times as fast|file / weights|change|nonprompt|diboson|ttZ|reference|"
    r"torchscript|onnx| in |accuracy|fold"
)
"""Outputs of networks, their ratios and areas under curves have none."""


def test_every_number_has_a_unit_or_needs_none() -> None:
    models = [*six(formats=("torchscript", "onnx"), runtimes=("pytorch", "cpp")), missing(model("Z"), "none")]
    found = summary([*models, *six(campaign="other")])
    for table in (table for page in compose(found, CONTRACTS, [], []).values() for table in tables(page)):
        for title in table.frame.select_dtypes("number").columns:
            known = UNITS.search(title) or COUNTS.match(title) or WITHOUT_UNIT.search(title) or title.endswith("/s")
            assert known, f"'{title}' of table '{table.name}' has no unit"


def test_no_row_holds_largest_values_of_several_models_without_saying_so() -> None:
    models = six()
    apart = [found.model_copy(update={"artifacts": tuple(
        artifact.model_copy(update={"validation": tuple(
            v.model_copy(update={"max_abs_diff": 1e-9 * (n + 1), "allowed_share": 0.9 - 0.1 * n, "error_max": float(n)})
            for v in artifact.validation
        )}) for artifact in found.artifacts
    )}) for n, found in enumerate(models)]  # fmt: skip
    page = compose(summary([*apart, *six(campaign="other")]), CONTRACTS, [], [])["summary.md"]
    (table,) = (table for table in tables(page) if table.name == "least-margins")
    row = table.frame.iloc[0]
    assert row["least margin"] == apart[0].id
    assert (row["its max abs diff"], row["it uses of what is allowed [%]"]) == (1e-9, 90)
    for title in table.titles:
        assert not re.search(r"\b(worst|largest|max)\b", title) or title.startswith(("its ", "median")), title


def test_a_table_without_rows_is_none() -> None:
    table = Table("t", ["a"], [])
    assert table.frame.empty
