"""Code blocks of Markdown pages."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "config/README.md", "results/README.md", "reports/README.md"),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^\n]+?) -->\n)?^ *```(?P<language>[\w+-]*)\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Snippet:
    """A code block: its place, its language, and why it is not run, as a comment above it says; empty if it is."""

    page: str
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.page}:{self.line} ({self.language})"


def in_text(text: str, page: str) -> list[Snippet]:
    """Return the code blocks of a text in Markdown."""
    return [
        Snippet(
            page,
            text.count("\n", 0, found.start("language")) + 1,
            found["language"],
            textwrap.dedent(found["code"]),
            found["reason"] or "",
        )
        for found in BLOCK.finditer(text)
    ]


def on_page(page: str) -> list[Snippet]:
    """Return the code blocks of a page, named by its path in the repository."""
    return in_text((ROOT / page).read_text(), page)


def code(page: str, *languages: str) -> list[str]:
    """Return the code that is run of a page, in some languages."""
    return [found.code for found in on_page(page) if found.language in languages and not found.reason]
