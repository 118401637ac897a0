"""Files that come into being whole: written to a temporary name beside their own, and moved into place."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path | str, text: str) -> None:
    """Write a text file, atomically."""
    temporary = temporary_name(path)
    temporary.write_text(text)
    temporary.replace(path)


def temporary_name(path: Path | str) -> Path:
    """Return a name beside `path` for a file in the making; makes the folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")
