"""Files that come into being whole: written to a temporary name beside their own, and moved into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from modelferry.core.digests import digest_of, sha256_of_file
from modelferry.core.errors import ArtifactError


@contextmanager
def replacing(path: Path | str, *others: Path | str, suffix: str = "") -> Iterator[Path]:
    """Give the name to write a file to; it takes the place of `path` at the end, and goes if there is an error.

    It lies in a temporary folder beside `path`, under the same name, so that files that name each other can be written
    together: `others`, under their own names in the same folder. They are moved into place first, and `path` last.

    Parameters
    ----------
    suffix
        What is added to the name, for writers and readers that tell by it what a file is.

    Raises
    ------
    ArtifactError
        If one of the files was not written.
    """
    folder = temporary_name(path)
    folder.mkdir(exist_ok=True)
    written = {Path(other): folder / Path(other).name for other in others}
    written[Path(path)] = folder / f"{Path(path).name}{suffix}"
    try:
        yield written[Path(path)]
        if missing := [target.name for target, temporary in written.items() if not temporary.is_file()]:
            raise ArtifactError(f"{path}: nothing has written {' and '.join(missing)}", "report this format")
        for target, temporary in written.items():
            temporary.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def temporary_name(path: Path | str) -> Path:
    """Return a name beside `path` for a file or folder in the making; makes the parent folder if need be."""
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


def sha256_of_files(files: Sequence[Path | str]) -> str:
    """Return the digest of an artifact: that of its only file, or one of the digests of all its files in order."""
    digests = [sha256_of_file(file) for file in files]
    return digests[0] if len(digests) == 1 else digest_of(digests)
