"""Text of the report: numbers with their significant digits, escaped text, and tables."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

NOTHING = "–"
SHORT_DIGEST = 12
ROWS = 20
"""Most rows of a table on the first page of several campaigns."""
ACTIVE = re.compile(r"[*`\[\]~$]|(?<!\w)_|_(?!\w)")
"""Signs that Markdown acts upon wherever they stand; underscores do nothing within a word."""
BLOCK = re.compile(r"^(\d*)([#+\-=.)])")
"""What makes a heading, a list or a rule of a line that begins with it."""
ADDRESS = re.compile(r"(https?|ftp|www|@\w*)([:.@])", re.IGNORECASE)
"""What becomes a link by itself."""
BEFORE_PIPE = re.compile(r"\\(?=\|)")
"""In code in a table, a backslash before a pipe would end the cell."""
Columns = dict[str, Callable[..., str]]
"""The columns of a table: title → cell from the values of a row."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """Return a GitHub Markdown table.

    Parameters
    ----------
    header
        Column titles, with the unit where there is one.
    rows
        Cells as Markdown; pipes and line breaks in them are escaped here.
    align
        One letter a column, ``l``, ``r`` or ``c``; columns beyond its end are right-aligned.
    """
    rules = {"l": ":--", "r": "--:", "c": ":-:"}
    marks = [rules[letter] for letter in align.ljust(len(header), "r")]
    lines = [[_cell(title) for title in header], marks, *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tabulate(columns: Columns, rows: Iterable[Sequence[Any]], align: str = "", most: int | None = None) -> str:
    """Return a table, each cell from the values of its row; empty without rows.

    Of more than `most` rows the first are shown, with a note that the others are on the pages of the campaigns.
    """
    listed = list(rows)
    cells = [[cell(*row) or NOTHING for cell in columns.values()] for row in listed[:most]]
    text = table(list(columns), cells, align) if listed else ""
    left = len(listed) - len(cells)
    return f"{text}\n\n… and {plural(left, 'more row')}, on the pages of the campaigns." if left else text


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|") or " "


def prose(text: str) -> str:
    """Return free text on one line, with all signs escaped that Markdown or HTML would act upon."""
    text = _one_line(text)
    for sign, entity in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    text = ACTIVE.sub(lambda found: f"\\{found[0]}", text)
    return ADDRESS.sub(
        lambda found: f"{found[1]}\\{found[2]}", BLOCK.sub(lambda found: f"{found[1]}\\{found[2]}", text)
    )


def code(text: object) -> str:
    """Return `text` as inline code."""
    plain = _one_line(str(text)).replace("`", "'").strip() or " "
    return f"`{BEFORE_PIPE.sub(lambda found: found[0] + ' ', plain)}`"


def fenced(text: str, language: str) -> str:
    """Return a block of code, in a fence that nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _one_line(text: str) -> str:
    """Return a text without line breaks, and without signs that nobody sees."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))


def scientific(value: float | None, digits: int = 2) -> str:
    """Return a small number with `digits` significant digits (``1.2e-7``)."""
    if value is None or value == 0 or not math.isfinite(value):
        return _without_digits(value)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number of ordinary size with `digits` significant digits (``0.591``, ``1.6``, ``6,412``)."""
    if value is None or value == 0 or not math.isfinite(value):
        return _without_digits(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}" if places < 7 else scientific(value, digits)


def _without_digits(value: float | None) -> str:
    return NOTHING if value is None or math.isnan(value) else "0" if value == 0 else "not finite"


def count(value: int | None) -> str:
    """Return an integer with thousands separated."""
    return NOTHING if value is None else f"{value:,}"


def counts(values: Sequence[int]) -> str:
    """Return ``lowest to highest`` integer, or the one value if all are the same."""
    return " to ".join(dict.fromkeys(map(count, (min(values), max(values))))) if values else NOTHING


def megabytes(size: float) -> str:
    """Return a number of bytes in MB (10⁶ bytes), without the unit."""
    return decimal(size / 1e6)


def span(values: Sequence[float], scale: float = 1.0) -> str:
    """Return ``lowest to highest``, or the one value if all look the same, in three significant digits."""
    if not values:
        return NOTHING
    low, high = decimal(min(values) / scale), decimal(max(values) / scale)
    return low if low == high else f"{low} to {high}"


def digest(sha256: str) -> str:
    """Return the first digits of a digest, as code."""
    return code(sha256[:SHORT_DIGEST]) if sha256 else NOTHING


def plural(number: int, noun: str) -> str:
    """Return ``1 model``, ``6 models``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def some(items: Sequence[str], limit: int = 3) -> str:
    """Return the first `limit` items, then ``and N more``."""
    listed = ", ".join(items[:limit])
    left = len(items) - limit
    return f"{listed} and {left:,} more" if left > 0 else listed


def pairs(values: Mapping[str, object]) -> str:
    """Return ``name = value`` for each entry, as code."""
    return ", ".join(code(f"{name} = {value}") for name, value in values.items()) or NOTHING


def details(title: str, body: str) -> str:
    """Return `body` folded away under `title`, which is plain text."""
    return f"<details>\n<summary>{html.escape(_one_line(title), quote=False)}</summary>\n\n{body}\n\n</details>"
