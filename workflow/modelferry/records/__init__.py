"""Every JSON file that the workflow writes, as a typed record; the schemas in `workflow/schemas` come from here.

One file per stage; this one holds what they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from modelferry.core.digests import sha256_of_file
from modelferry.core.errors import ArtifactError
from modelferry.core.files import sha256_of_files, write_text
from modelferry.core.known_files import known_files, known_sha256
from modelferry.core.model import Part
from modelferry.core.sealed import AGAIN, read_sealed, sealed

SCHEMA_VERSION = 1


class Record(Part):
    """A JSON file that tells whether it is whole: its last entry is the digest of all others.

    It is written to a temporary name and moved into place, so that no half a file is ever seen.
    """

    schema_version: int = SCHEMA_VERSION
    content_sha256: str = ""
    """SHA-256 of the file up to this entry's comma; empty here, since only the file has it."""

    def write(self, path: Path | str) -> None:
        """Write the record to `path`, atomically."""
        write_text(path, sealed(self.model_dump_json(indent=1, exclude={"content_sha256"})))

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a record; raise `ArtifactError` if it is missing, altered since it was written, or of another kind."""
        text = read_sealed(path, "run `snakemake`, which will make it")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            reason = ": ".join([*map(str, error.errors()[0]["loc"]), error.errors()[0]["msg"]])
            raise ArtifactError(f"{path} is not a {cls.__name__}: {reason}", AGAIN) from None

    @classmethod
    def damage(cls, path: Path | str) -> str:
        """Return why the file at `path` is not such a record, empty if it is; looks again only if it has changed."""

        def find(path: Path) -> str:
            try:
                cls.read(path)
            except ArtifactError as error:
                return str(error).removeprefix(f"{path} ").removesuffix(f"; {AGAIN}")
            return ""

        return known_files().ask(path, cls.__name__, find)


class FileFacts(Part):
    """A file as it was read or written."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path | str) -> Self:
        """Return the facts of the file at `path`."""
        return cls(path=str(path), bytes=Path(path).stat().st_size, sha256=sha256_of_file(path))

    @property
    def intact(self) -> bool:
        """Whether the file is there, with these very bytes; all of them are read."""
        return Path(self.path).is_file() and known_sha256(self.path, fresh=True) == self.sha256

    @property
    def unchanged(self) -> bool:
        """Whether the file is there, with these very bytes as far as its times tell."""
        return Path(self.path).is_file() and known_sha256(self.path) == self.sha256


class ArtifactFacts(Part):
    """An artifact or a template as it was written: one or several files.

    Attributes
    ----------
    path
        The main file.
    bytes
        The size of all files together.
    sha256
        Digest of the whole: that of the only file, or one of the digests of all files in order.
    files
        Each file, the main one first.
    """

    path: str
    bytes: int
    sha256: str
    files: tuple[FileFacts, ...]

    @classmethod
    def of(cls, files: Sequence[Path | str]) -> Self:
        """Return the facts of files, the main one first."""
        facts = tuple(map(FileFacts.of, files))
        total = sum(file.bytes for file in facts)
        return cls(path=facts[0].path, bytes=total, sha256=sha256_of_files(files), files=facts)

    @property
    def paths(self) -> list[str]:
        """The paths of all files, the main one first."""
        return [file.path for file in self.files]

    @property
    def present(self) -> bool:
        """Whether all files are there."""
        return all(Path(path).is_file() for path in self.paths)

    @property
    def intact(self) -> bool:
        """Whether all files are there, with these very bytes; all of them are read."""
        return all(file.intact for file in self.files)

    @property
    def altered(self) -> list[str]:
        """The files that have other bytes now, as far as their times tell; those that are gone are not among them."""
        return [file.path for file in self.files if Path(file.path).is_file() and not file.unchanged]
