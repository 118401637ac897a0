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
from modelferry.core.model import Part

SCHEMA_VERSION = 1


class Record(Part):
    """A JSON file; written to a temporary name and moved into place, so that no half a file is ever seen."""

    schema_version: int = SCHEMA_VERSION

    def write(self, path: Path | str) -> None:
        """Write the record to `path`, atomically."""
        write_text(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a record; raise `ArtifactError` if it is missing or of another kind."""
        try:
            return cls.model_validate_json(Path(path).read_text())
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing", "run `snakemake`, which will make it") from None
        except (ValidationError, ValueError) as error:
            reason = str(error).splitlines()[0]
            if isinstance(error, ValidationError):
                reason = ": ".join([*map(str, error.errors()[0]["loc"]), error.errors()[0]["msg"]])
            raise ArtifactError(f"{path} is not a {cls.__name__}: {reason}", "delete it and run again") from None


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
        """Whether the file is there, with these very bytes."""
        return Path(self.path).is_file() and sha256_of_file(self.path) == self.sha256


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
        """Whether all files are there, with these very bytes."""
        return all(file.intact for file in self.files)
