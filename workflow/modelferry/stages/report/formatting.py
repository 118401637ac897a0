"""Text of the report: numbers with their significant digits, and escaped text."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence

NOTHING = "–"
SHORT_DIGEST = 12
ACTIVE = re.compile(r"[*`\[\]~$]|(?<!\w)_|_(?!\w)")
"""Signs that Markdown acts upon wherever they stand; underscores do nothing within a word."""
BLOCK = re.compile(r"^(\d*)([#+\-=.)])")
"""What makes a heading, a list or a rule of a line that begins with it."""
ADDRESS = re.compile(r"(https?|ftp|www|@\w*)([:.@])", re.IGNORECASE)
"""What becomes a link by itself."""
BEFORE_PIPE = re.compile(r"\\(?=\|)")
"""In code in a table, a backslash before a pipe would end the cell."""


class Cell(str):
    """The text of a table's cell, in Markdown, and the value that it stands for; None where there is none."""

    __slots__ = ("value",)
    value: object

    def __new__(cls, text: str, value: object) -> Cell:
        """Return the text with its value."""
        made = super().__new__(cls, text)
        made.value = value
        return made


def cell(text: str) -> str:
    """Return a text as it stands in a table: on one line, pipes escaped."""
    return on_one_line(text).replace("|", "\\|") or " "


def prose(text: str) -> Cell:
    """Return free text on one line, with all signs escaped that Markdown or HTML would act upon."""
    plain = text = on_one_line(text)
    for sign, entity in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    text = ACTIVE.sub(lambda found: f"\\{found[0]}", text)
    text = BLOCK.sub(lambda found: f"{found[1]}\\{found[2]}", text)
    return Cell(ADDRESS.sub(lambda found: f"{found[1]}\\{found[2]}", text), plain)


def code(text: object) -> Cell:
    """Return `text` as inline code."""
    plain = on_one_line(str(text)).replace("`", "'").strip() or " "
    return Cell(f"`{BEFORE_PIPE.sub(lambda found: found[0] + ' ', plain)}`", text)


def bold_unless(text: str, fine: str) -> Cell:
    """Return a text, in bold unless it says that all is well."""
    return Cell(text if text == fine else f"**{text}**", text)


def fenced(text: str, language: str) -> str:
    """Return a block of code, in a fence that nothing in the text can end."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def on_one_line(text: str) -> str:
    """Return a text without line breaks, and without signs that nobody sees."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))


def scientific(value: float | None, digits: int = 2) -> Cell:
    """Return a small number with `digits` significant digits (``1.2e-7``)."""
    if value is None or value == 0 or not math.isfinite(value):
        return _without_digits(value)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return Cell(f"{mantissa}e{int(exponent)}", value)


def decimal(value: float | None, digits: int = 3) -> Cell:
    """Return a number of ordinary size with `digits` significant digits (``0.591``, ``1.6``, ``6,412``)."""
    if value is None or value == 0 or not math.isfinite(value):
        return _without_digits(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return Cell(f"{value:,.{places}f}", value) if places < 7 else scientific(value, digits)


def fixed(value: float, places: int) -> Cell:
    """Return a number between 0 and 1, such as an AUC, with so many decimal places."""
    return Cell(f"{value:.{places}f}", value)


def _without_digits(value: float | None) -> Cell:
    return Cell(NOTHING if value is None or math.isnan(value) else "0" if value == 0 else "not finite", value)


def count(value: int | None) -> Cell:
    """Return an integer with thousands separated."""
    return Cell(NOTHING if value is None else f"{value:,}", value)


def counts(values: Sequence[int]) -> str:
    """Return ``lowest to highest`` integer, or the one value if all are the same."""
    return " to ".join(dict.fromkeys(map(count, (min(values), max(values))))) if values else NOTHING


def megabytes(size: float) -> Cell:
    """Return a number of bytes in MB (10⁶ bytes), without the unit."""
    return decimal(size / 1e6)


def span(values: Sequence[float], scale: float = 1.0) -> str:
    """Return ``lowest to highest``, or the one value if all look the same, in three significant digits."""
    if not values:
        return NOTHING
    low, high = decimal(min(values) / scale), decimal(max(values) / scale)
    return low if low == high else f"{low} to {high}"


def digest(sha256: str) -> Cell:
    """Return the first digits of a digest, as code; its value is the whole."""
    return Cell(code(sha256[:SHORT_DIGEST]) if sha256 else NOTHING, sha256)


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
    return f"<details>\n<summary>{html.escape(on_one_line(title), quote=False)}</summary>\n\n{body}\n\n</details>"
