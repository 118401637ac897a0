"""Glob patterns over folders that are each read once: thousands of patterns share a few folders."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache

Entry = tuple[str, str]
"""Name of what a folder holds, and the folder, with a slash at its end."""


class Folders:
    """Folders that were read; what they hold is sorted by name, so that the start of a pattern finds its place."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[list[Entry], list[str]]] = {}
        self._walked: dict[str, list[Entry]] = {}

    def matches(self, pattern: str) -> list[str]:
        """Return the paths that match, as `glob.glob(pattern, recursive=True)` finds them, in any order."""
        if not glob.has_magic(pattern):
            return [pattern] if os.path.lexists(pattern) else []
        parts = [part for part in pattern.split("/") if part]
        if parts[-1] == "**":
            return list(dict.fromkeys(glob.glob(pattern, recursive=True)))  # noqa: PTH207
        bases, deep = ["/" if pattern.startswith("/") else ""], False
        for part in parts[:-1]:
            if part == "**":
                deep = True
            else:
                bases = [f"{path}/" for base in bases for path in self._named(base, part, deep)]
                deep = False
        found = dict.fromkeys(path for base in bases for path in self._named(base, parts[-1], deep))
        return [path for path in found if glob.has_magic(parts[-1]) or os.path.lexists(path)]

    def names(self, folder: str) -> list[str]:
        """Return the names of what a folder holds, sorted."""
        return [name for name, _ in self._entries(f"{folder.rstrip('/')}/")[0]]

    def _named(self, base: str, part: str, deep: bool) -> Iterator[str]:
        """Yield the paths right below a folder, or at any depth, whose names match one part of a pattern."""
        magic = glob.has_magic(part)
        if not (magic or deep):
            yield base + part
            return
        entries = self._tree(base) if deep else self._entries(base)[0]
        start, matched = re.split(r"[*?[]", part, maxsplit=1)[0], _matcher(part)
        for name, folder in entries[bisect_left(entries, (start, "")) :]:
            if not name.startswith(start):
                break
            if matched(name) and (not magic or part[0] == "." or name[0] != "."):
                yield folder + name

    def _tree(self, base: str) -> list[Entry]:
        """Return what a folder and all folders below it hold; hidden ones are not opened, nor are loops of links."""
        if base not in self._walked:
            found: list[Entry] = []
            pending: list[tuple[str, frozenset[tuple[int, int]]]] = [(base, frozenset())]
            while pending:
                folder, above = pending.pop()
                identity = _identity(folder)
                if identity is None or identity in above:
                    continue
                entries, folders = self._entries(folder)
                found += entries
                pending += [(f"{folder}{name}/", above | {identity}) for name in folders if name[0] != "."]
            self._walked[base] = sorted(found)
        return self._walked[base]

    def _entries(self, folder: str) -> tuple[list[Entry], list[str]]:
        """Return what a folder holds, and which of these are folders; nothing if it cannot be read."""
        if folder not in self._read:
            try:
                with os.scandir(folder or ".") as inside:
                    found = sorted((entry.name, entry.is_dir()) for entry in inside)
            except (OSError, ValueError):  # ValueError: a path with a NUL
                found = []
            self._read[folder] = [(name, folder) for name, _ in found], [name for name, is_dir in found if is_dir]
        return self._read[folder]


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        facts = os.stat(folder or ".")  # noqa: PTH116 - a string is enough
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


@cache
def _matcher(part: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(part)).match
