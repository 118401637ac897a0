"""The report as one HTML file that needs nothing else: tables that sort and filter, figures inside, pages folded in."""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt

from modelferry.stages.report.blocks import Block, Folded, Image, Table
from modelferry.stages.report.formatting import on_one_line

STATIC = 100
"""Rows that the page shows at first; a script shows the others."""
WIDE = 80
"""Cells with longer texts are broken into lines."""
DIGITS = 6
"""Significant digits by which rows are sorted."""
MARKED = re.compile(r"[*`\[\]\\&<>_~$!]")
"""Signs that make more of a text than its letters."""
IN_CODE = re.compile(r"`([^`]*)`")
LINK = re.compile(r'href="([^"/:#]+)\.md"')


def render_html(pages: Mapping[str, Sequence[Block]], models: Sequence[str], figures: Path) -> str:
    """Return the page.

    Parameters
    ----------
    pages
        What each page consists of, by the name of its Markdown file, the first one first.
    models
        Ids of all models.
    figures
        The folder of figures.
    """
    writer = _Writer({name: index for index, name in enumerate(models)}, figures)
    titles = {name: writer.heading(content) for name, content in pages.items()}
    parts = [
        f'<section id="{_anchor(name)}">{writer.blocks(content)}</section>'
        if number == 0
        else f'<details class="page" id="{_anchor(name)}"><summary>{titles[name]}</summary>'
        f"{writer.blocks(content)}</details>"
        for number, (name, content) in enumerate(pages.items())
    ]
    names = ["First page", *(html.escape(name.removesuffix(".md")) for name in list(pages)[1:])]
    links = [f'<a href="#{_anchor(page)}">{name}</a>' for page, name in zip(pages, names, strict=True)]
    resources = files("modelferry.stages.report") / "html"
    first = next(iter(titles.values()))
    return Template((resources / "report.html").read_text()).substitute(
        title=re.sub("<[^>]*>", "", first),
        style=(resources / "report.css").read_text(),
        script=(resources / "report.js").read_text(),
        navigation="".join(links),
        pages="\n".join(parts),
        models=_json(list(models)),
    )


class _Writer:
    """Writes blocks as HTML; texts of users come escaped in Markdown, which is read without any HTML in it."""

    def __init__(self, models: Mapping[str, int], figures: Path) -> None:
        self.models = models
        self.figures = figures
        self.title = ""

    def heading(self, content: Sequence[Block]) -> str:
        """Return the first heading of a page."""
        return next(inline(b.removeprefix("# ")) for b in content if isinstance(b, str) and b.startswith("# "))

    def blocks(self, content: Sequence[Block]) -> str:
        """Return blocks, one below the other."""
        return "\n".join(map(self.block, content))

    def block(self, block: Block) -> str:
        """Return a block."""
        if isinstance(block, Table):
            return self.table(block)
        if isinstance(block, Folded):
            self.title = block.title
            inside = self.blocks(block.blocks)
            return f"<details><summary>{html.escape(block.title)}</summary>{inside}</details>"
        if isinstance(block, Image):
            return self.image(block)
        if block.startswith("<!--"):
            return ""
        if block.startswith("#"):
            self.title = block.lstrip("# ")
        return _linked(_reader().render(block))

    def image(self, image: Image) -> str:
        """Return a figure with its text; as drawn lines if it was saved so."""
        path = (self.figures / image.name).with_suffix(".svg")
        kind = "svg+xml"
        if not path.is_file():
            path, kind = self.figures / image.name, "png"
        data = base64.b64encode(path.read_bytes()).decode()
        text = html.escape(image.text)
        return (
            f'<figure><img alt="{text}" src="data:image/{kind};base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def table(self, table: Table) -> str:
        """Return a table: its first rows, and all of them as data."""
        titles = [inline(title) for title in table.titles]
        rows = [[_linked(inline(text)) for text in row] for row in table.cells]
        data = {
            "titles": titles,
            "align": table.alignment,
            "columns": [
                _column(texts, table.frame.iloc[:, number]) for number, texts in enumerate(zip(*rows, strict=True))
            ],
            "keys": [self.models[key] for key in table.keys] or None,
            "opens": table.name == "all-models",
        }
        marks = table.alignment
        head = "".join(
            f'<th scope="col" class="{mark}">{title}</th>' for mark, title in zip(marks, titles, strict=True)
        )
        body = "".join(f"<tr>{''.join(map(_td, marks, row))}</tr>" for row in rows[:STATIC])
        return (
            f'<div class="table" data-name="{html.escape(table.name)}" data-title="{html.escape(self.title)}">'
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            f'<script type="application/json">{_json(data)}</script></div>'
        )


def inline(text: str) -> str:
    """Return a line of Markdown as HTML."""
    text = on_one_line(text)
    if not MARKED.search(text):
        return text
    if plain := IN_CODE.fullmatch(text):
        return f"<code>{html.escape(plain[1])}</code>"
    return _reader().renderInline(text)


def _td(mark: str, text: str) -> str:
    wide = " wide" if len(re.sub("<[^>]*>", "", text)) > WIDE else ""
    return f'<td class="{mark}{wide}">{text}</td>'


def _linked(text: str) -> str:
    return LINK.sub(lambda found: f'href="#{_anchor(found[1])}"', text)


def _anchor(page: str) -> str:
    """Return the id of a page in the file."""
    return html.escape(f"page-{page.removesuffix('.md')}")


def _column(texts: Sequence[str], values: pd.Series) -> dict[str, Any]:
    """Return a column with each of its texts once, and the numbers that these stand for: rows are sorted by them."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    column: dict[str, Any] = {"texts": list(places), "rows": [places[text] for text in texts]}
    if pd.api.types.is_numeric_dtype(values):
        numbers = {text: value for text, value in zip(texts, values.tolist(), strict=True) if math.isfinite(value)}
        column["numbers"] = [float(f"{numbers[text]:.{DIGITS}g}") if text in numbers else None for text in places]
    return column


def _json(data: Any) -> str:
    """Return JSON that no text in it can end before its end."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


@cache
def _reader() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")
