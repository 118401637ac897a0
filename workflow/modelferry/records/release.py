"""What a release holds: `release.json`, beside the files that ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from modelferry.core.model import Environment, Exactness, Part
from modelferry.core.tolerances import Tolerance
from modelferry.records import Record


class ReleasedArtifact(Part):
    """One artifact of a release; paths are relative to its folder.

    `files` has the SHA-256 of each file, the main one first, `verdicts` the status of its validation by runtime, and
    `certificates` what its template was proven to do. `expected` holds events and what the network as trained makes of
    them, or the artifact itself if it is an approximation.
    """

    model: str
    export: str
    format: str
    layout: str
    exactness: Exactness
    files: Mapping[str, str]
    manifest: str
    expected: str
    tolerance: Tolerance
    verdicts: Mapping[str, str]
    certificates: tuple[str, ...]

    @property
    def path(self) -> str:
        """The main file."""
        return next(iter(self.files))


class Release(Record):
    """Artifacts that leave the workflow, and where they come from: commit, digest of the config, environment."""

    FILE: ClassVar[str] = "release.json"

    name: str
    artifacts: tuple[ReleasedArtifact, ...]
    reported: str
    """When the report was written."""
    commit: str
    config_sha256: str
    environment: Environment
