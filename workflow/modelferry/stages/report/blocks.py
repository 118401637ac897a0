"""What pages are made of, whatever they are rendered to: texts in Markdown, tables, figures, parts folded away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from modelferry.stages.report.formatting import NOTHING, Cell, cell, details, plural

Columns = dict[str, Callable[..., str]]
"""The columns of a table: title → cell from the values of a row."""
ROWS = 20
"""Most rows of a table on the first page of several campaigns."""
LONG = 100
"""Most rows of any table in Markdown."""
RULES = {"l": ":--", "r": "--:", "c": ":-:"}


@dataclass(frozen=True)
class Table:
    """A table: its values as a data frame, made once, and their texts.

    Attributes
    ----------
    name
        What its CSV file is called, without the ending; none is written without a name.
    titles
        Column titles, with the unit where there is one; each once.
    cells
        Cells as Markdown. One that is a `Cell` stands for a value.
    align
        One letter a column, ``l``, ``r`` or ``c``; columns beyond its end are right-aligned.
    most
        Rows that Markdown shows; the others are in the CSV file and the HTML page.
    keys
        Id of the model that each row is about, if rows are about models.
    announced
        Whether the text above says already that there are more rows.
    """

    name: str
    titles: Sequence[str]
    cells: Sequence[Sequence[str]]
    align: str = ""
    most: int = LONG
    keys: Sequence[str] = ()
    announced: bool = False

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The values, in a column each."""
        values = [[one.value if isinstance(one, Cell) else str(one) for one in row] for row in self.cells]
        return pd.DataFrame(values, columns=list(self.titles))

    @property
    def alignment(self) -> str:
        """One letter for each column."""
        return self.align.ljust(len(self.titles), "r")

    def __str__(self) -> str:
        """Return it as GitHub Markdown."""
        lines = [[cell(title) for title in self.titles], [RULES[letter] for letter in self.alignment]]
        lines += [[cell(text) for text in row] for row in self.cells[: self.most]]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        left = 0 if self.announced else len(self.cells) - self.most
        return (
            f"{text}\n\n… and {plural(left, 'more row')}, in the CSV file and on the HTML page." if left > 0 else text
        )


@dataclass(frozen=True)
class Folded:
    """Blocks that are folded away under a title, which is plain text."""

    title: str
    blocks: Sequence[Block]

    def __str__(self) -> str:
        """Return it as Markdown."""
        return details(self.title, markdown(self.blocks))


@dataclass(frozen=True)
class Image:
    """A figure by the name of its file in the folder of figures, and what it shows, in words."""

    name: str
    text: str

    def __str__(self) -> str:
        """Return it as Markdown."""
        return f"![{self.text}](figures/{self.name})"


Block = str | Table | Folded | Image
Content = Block | Sequence["Content"] | None
"""What a section may consist of; empty texts and None are nothing."""


def blocks(*contents: Content) -> list[Block]:
    """Return all blocks in one list, without what is empty."""
    found: list[Block] = []
    for content in contents:
        if isinstance(content, str | Table | Folded | Image):
            found += [content] if content else []
        elif content is not None:
            found += blocks(*content)
    return found


def tabulate(
    name: str,
    columns: Columns,
    rows: Iterable[Sequence[Any]],
    align: str = "",
    most: int = LONG,
    key: Callable[..., str] | None = None,
) -> Table | None:
    """Return a table, each cell from the values of its row, or None without rows; `key` gives the model of a row."""
    listed = list(rows)
    if not listed:
        return None
    cells = [[make(*row) or Cell(NOTHING, None) for make in columns.values()] for row in listed]
    return Table(name, list(columns), cells, align, most, [key(*row) for row in listed] if key else ())


def folded(title: str, *contents: Content) -> Folded | None:
    """Return blocks folded away under a title; None if there are none."""
    inside = blocks(*contents)
    return Folded(title, inside) if inside else None


def headed(title: str, *contents: Content) -> list[Block]:
    """Return blocks under a heading of the third level; none if there are none."""
    below = blocks(*contents)
    return [f"### {title}", *below] if below else []


def markdown(content: Sequence[Block]) -> str:
    """Return blocks as Markdown."""
    return "\n\n".join(map(str, content))


def tables(content: Iterable[Block]) -> Iterator[Table]:
    """Yield all tables, those that are folded away included."""
    for block in content:
        if isinstance(block, Table):
            yield block
        elif isinstance(block, Folded):
            yield from tables(block.blocks)
