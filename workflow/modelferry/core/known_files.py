"""What was found out about files, for as long as nobody touches them: digests, and whether they are whole.

A file is the same if device, inode, size, and the nanoseconds of its last changes of content and of state are: nobody
sets the last of these. What is known stands in a text file in the folder of the workflow, a line for each fact. A line
that a crash or two writers spoilt tells nothing; without the file all is found out again.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from modelferry.core.digests import sha256_of_file
from modelferry.core.paths import STATE

FACTS = f"{STATE}/known-files"
SETTLED = 10**9
"""Nanoseconds after a change in which another one may leave the times of a file as they are; nothing is kept then."""
SPARE = 1000
"""Lines that nobody asked for, and that are kept all the same."""


class KnownFiles:
    """Facts about files that have not changed since; `facts` by the stamp of a file and the name of the fact."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.facts: dict[str, str] = {}
        self.asked: set[str] = set()
        try:
            lines = self.path.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            key, _, rest = line.partition(" ")
            check, _, fact = rest.partition(" ")
            if check == _check(key, fact):
                self.facts[key] = fact

    def ask(self, path: Path | str, name: str, find: Callable[[Path], str], fresh: bool = False) -> str:
        """Return the fact `name` of a file: what is known, or what `find` finds out; anew if it is to be `fresh`."""
        key = f"{name}:{stamp(path)}"
        self.asked.add(key)
        if not fresh and (known := self.facts.get(key)) is not None:
            return str(json.loads(known))
        fact = find(Path(path))
        if key == f"{name}:{stamp(path)}" and is_settled(path):
            self._keep(key, json.dumps(fact))
        return fact

    def tidy(self) -> None:
        """Forget what nobody has asked for, if that is much."""
        if len(self.facts) > 2 * len(self.asked) + SPARE:
            from modelferry.core.files import write_text

            self.facts = {key: fact for key, fact in self.facts.items() if key in self.asked}
            write_text(self.path, "".join(map(_line, self.facts, self.facts.values())))

    def _keep(self, key: str, fact: str) -> None:
        self.facts[key] = fact
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:  # no folder of a workflow, or one that nobody may write to
            return
        try:
            os.write(handle, _line(key, fact).encode())
        except OSError:
            pass
        finally:
            os.close(handle)


def stamp(path: Path | str) -> str:
    """Return what tells whether a file is still the one that it was."""
    found = Path(path).stat()
    return f"{found.st_dev:x}.{found.st_ino:x}.{found.st_size:x}.{found.st_mtime_ns:x}.{found.st_ctime_ns:x}"


def is_settled(path: Path | str) -> bool:
    """Return whether the next change of a file will change its stamp too."""
    return time.time_ns() - Path(path).stat().st_ctime_ns > SETTLED


def _line(key: str, fact: str) -> str:
    return f"{key} {_check(key, fact)} {fact}\n"


def _check(key: str, fact: str) -> str:
    return f"{zlib.crc32(f'{key} {fact}'.encode()):08x}"


_opened: dict[Path, KnownFiles] = {}


def known_files() -> KnownFiles:
    """Return what is known in the folder of the workflow; of another folder nothing is kept."""
    path = Path(FACTS).absolute()
    if path not in _opened:
        _opened[path] = KnownFiles(path)
    return _opened[path]


def forget() -> None:
    """Read anew what is known when it is asked for next: other processes have found out more."""
    _opened.clear()


def known_sha256(path: Path | str, fresh: bool = False) -> str:
    """Return the SHA-256 of a file's bytes: as it was computed last, unless the file has changed or `fresh` is said."""
    return known_files().ask(path, "sha256", sha256_of_file, fresh)
