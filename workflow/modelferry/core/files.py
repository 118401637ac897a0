"""Files that come into being whole: written to a temporary name beside their own, and moved into place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def replacing(path: Path | str, suffix: str = "") -> Iterator[Path]:
    """Give the name to write a file to; it takes the place of `path` at the end, and goes if there is an error.

    Parameters
    ----------
    suffix
        What the name ends in, for writers and readers that tell by it what a file is.
    """
    temporary = temporary_name(path)
    if suffix:
        temporary = temporary.with_suffix(suffix)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path | str) -> Path:
    """Return a name beside `path` for a file in the making; makes the folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def write_text(path: Path | str, text: str) -> None:
    """Write a text file, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, as NumPy's .npz, atomically."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
