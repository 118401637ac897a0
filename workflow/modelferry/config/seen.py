"""What a config's patterns and tables show: asked once, and then the same for all jobs of a run.

Snakemake's start reads the config, and so does every job. A checkpoint that appears in between would give them two sets
of models; so the start hands on what it has seen.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, PrivateAttr

from modelferry.config.folders import Folders
from modelferry.core.errors import ConfigError
from modelferry.core.reading import read_bytes

MOST_TABLE = 64 * 2**20
"""Bytes of a table of models at most."""


class Seen(BaseModel):
    """The answers so far; what was not asked yet is looked up.

    Attributes
    ----------
    files
        Paths by the glob pattern that they match, sorted.
    tables
        Contents of files by their path.
    """

    files: dict[str, tuple[str, ...]] = {}
    tables: dict[str, str] = {}
    _folders: Folders = PrivateAttr(default_factory=Folders)

    def matches(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that match a glob pattern, or the one path that is spelt as the pattern."""
        if pattern not in self.files:
            path = expanded(pattern)
            found = sorted(self._folders.matches(path)) or ([path] if os.path.lexists(path) else [])
            self.files[pattern] = tuple(found)
        return self.files[pattern]

    def table(self, path: str) -> str:
        """Return the text of a table; raise `ConfigError`, with the row if it is no UTF-8."""
        if path not in self.tables:
            content = read_bytes(expanded(path), ConfigError, "give the path of a CSV", MOST_TABLE)
            try:
                self.tables[path] = content.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                row = content.count(b"\n", 0, error.start) + 1
                raise ConfigError(f"{path}:{row}: no UTF-8 text", "save it as UTF-8 (Excel: CSV UTF-8)") from None
        return self.tables[path]

    def nearest(self, pattern: str) -> str:
        """Return how far a pattern without a match gets: the folder that is there, and what it holds instead."""
        parts = expanded(pattern).split("/")
        starts = ["/".join(parts[:length]) for length in range(len(parts) - 1, 0, -1)]
        folders = (path for start in starts for path in sorted(self._folders.matches(start)) if Path(path).is_dir())
        folder = next(folders, "/" if parts[0] == "" else ".")
        names = [name for name in self._folders.names(folder) if not name.startswith(".")]
        inside = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}" if names else "nothing"
        return f"{folder} is there and holds {inside}"


def expanded(path: str) -> str:
    """Return a path or pattern without ``~``, doubled slashes and the like."""
    return str(Path(path).expanduser())
