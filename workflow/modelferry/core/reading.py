"""Where files are opened for reading: regular files only, no larger than they may be, and nothing unsaid if not.

What is not a regular file would block (a named pipe), never end (``/dev/zero``), or answer anything else.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelferry.core.errors import ArtifactError, EventFileError, ModelferryError

MOST_TEXT = 256 * 2**20
"""Bytes of a JSON, YAML or source file that is read at most."""
MOST_ENTRIES = 100
"""Events a byte of a file, at most: columns compress well."""
MOST_YAML = 16 * 2**20
MOST_VALUES, DEEPEST = 10**6, 50
"""Of a YAML file, what anchors repeat included."""
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular_file(
    path: Path | str,
    error: type[ModelferryError] = ArtifactError,
    missing: str = "check the path",
    most: int | None = None,
) -> os.stat_result:
    """Return the facts of a file that may be read.

    Parameters
    ----------
    error
        What is raised if it is not there, not a regular file, or has more than `most` bytes.
    missing
        The remedy if it is not there.
    """
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        target = f", a link to {Path(path).readlink()}," if Path(path).is_symlink() else ""
        raise error(f"{path}{target} is missing", missing) from None
    except (OSError, ValueError) as reason:  # ValueError: a path with a NUL
        said = reason.strerror if isinstance(reason, OSError) else str(reason)
        raise error(f"{str(path)!r} cannot be read: {said}", "check the path and its permissions") from None
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise error(f"{path} is {kind}, not a file", "give the path of a regular file")
    if most is not None and found.st_size > most:
        raise error(f"{path} has {found.st_size:,} bytes, and {most:,} are allowed", "is it the right file?")
    return found


@contextmanager
def reading_events(path: Path | str, what: str) -> Iterator[int]:
    """Let a library read a file of events, and give its bytes; whatever error it raises becomes one of the file.

    `what` is what the file should be, such as ``a ROOT file``.
    """
    if not Path(path).exists():
        raise EventFileError(f"{path}: no such file", "check the path of the events in config.yaml")
    size = regular_file(path, EventFileError, "check the path of the events in config.yaml").st_size
    try:
        yield size
    except ModelferryError:
        raise
    except Exception as error:  # libraries have a dozen kinds for a damaged file, struct.error among them
        cause = " ".join(str(error).split())[:120] or type(error).__name__
        raise EventFileError(f"{path}: not a whole {what} ({cause})", "copy or produce it again") from error


def check_entries(path: Path | str, entries: int, size: int) -> None:
    """Raise `EventFileError` for a file that declares more events than it can hold: to count them takes for ever."""
    if not 0 <= entries <= MOST_ENTRIES * max(size, 1):
        raise EventFileError(f"{path}: {size:,} bytes cannot hold {entries:,} events", "copy or produce it again")


def read_bytes(
    path: Path | str,
    error: type[ModelferryError] = ArtifactError,
    missing: str = "check the path",
    most: int = MOST_TEXT,
) -> bytes:
    """Return what is in a file; raise `error` as `regular_file` does, and if it cannot be read."""
    regular_file(path, error, missing, most)
    try:
        return Path(path).read_bytes()
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}", "check its permissions") from None


def read_text(
    path: Path | str,
    error: type[ModelferryError] = ArtifactError,
    missing: str = "check the path",
    most: int = MOST_TEXT,
) -> str:
    """Return the UTF-8 text in a file; raise `error` as `regular_file` does, and for other encodings."""
    try:
        return read_bytes(path, error, missing, most).decode()
    except UnicodeDecodeError as reason:
        raise error(f"{path} is not UTF-8 text (byte {reason.start})", "save it as UTF-8") from None


def read_json(
    path: Path | str, error: type[ModelferryError] = ArtifactError, missing: str = "check the path"
) -> Mapping[str, Any]:
    """Return the object in a JSON file; raise `error` if there is none."""
    try:
        content = json.loads(read_bytes(path, error, missing))
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not JSON: {reason}", "is it complete?") from None
    if not isinstance(content, dict):
        raise error(f"{path} holds a {type(content).__name__} instead of an object", "is it the right file?")
    return content


def read_yaml(path: Path | str, error: type[ModelferryError], missing: str = "check the path") -> Any:
    """Return what is in a YAML file; raise `error` for what is no YAML, or is more than a person writes."""
    return parse_yaml(read_text(path, error, missing, MOST_YAML), error, str(path))


def parse_yaml(text: str, error: type[ModelferryError], source: str) -> Any:
    """Return what a YAML text says; anchors may not name what they lie in, nor multiply without bound."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as reason:
        raise error(f"{source} is not valid YAML: {' '.join(str(reason).split())}", "fix it") from None
    except (RecursionError, ValueError, OverflowError, TypeError) as reason:  # deep, or a date that there is not
        said = "too deep" if isinstance(reason, RecursionError) else str(reason)
        raise error(f"{source} is not valid YAML: {said}", "fix it") from None
    pending, seen = [(content, 0)], 0
    while pending:
        value, depth = pending.pop()
        seen += 1
        if depth > DEEPEST or seen > MOST_VALUES:
            what = f"more than {DEEPEST} levels" if depth > DEEPEST else f"more than {MOST_VALUES:,} values"
            raise error(f"{source} has {what}", "look for an anchor that names itself")
        inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
        pending.extend((item, depth + 1) for item in inside)
    return content
