"""`SHA256SUMS`: what a release consists of, as `sha256sum --check` reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ArtifactError
from modelferry.core.files import write_text
from modelferry.core.reading import regular_file

SUMS = "SHA256SUMS"
SIGNATURE = "release.sig"
"""Signs all other files; it is in no list."""
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write_sums(folder: Path) -> None:
    """List all files of a release with their digests."""
    lines = [f"{sha256_of_file(folder / name)}  {name}\n" for name in sorted(files_in(folder))]
    write_text(folder / SUMS, "".join(lines))


def files_in(folder: Path) -> Iterator[str]:
    """Yield the names of all files of a release but the list itself and the signature.

    Raises
    ------
    ArtifactError
        If something there is no regular file.
    """
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(where, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()) or "\n" in name:
                raise ArtifactError(f"{relative!r} in the release is no regular file", "remove it")
            if path.is_file() and relative not in (SUMS, SIGNATURE):
                yield relative


def differences(folder: Path) -> Iterator[str]:
    """Yield what is altered, missing or added in a release, a line each; every byte is read."""
    known = listed(folder)
    there = sorted(files_in(folder))
    for name, digest in known.items():
        if name not in there:
            yield f"{name} is missing"
        elif sha256_of_file(folder / name) != digest:
            yield f"{name} was altered"
    yield from (f"{name} was added" for name in there if name not in known)


def listed(folder: Path) -> Mapping[str, str]:
    """Return the digest of each file by its name, as the list has them."""
    regular_file(folder / SUMS, ArtifactError, "is it a release? Get it again")
    try:
        lines = (folder / SUMS).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{folder} has no {SUMS} that can be read", "is it a release?") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise ArtifactError(f"{folder / SUMS}, line {number}, is not a digest and a name", "get the release again")
        found[match[2]] = match[1]
    return found
