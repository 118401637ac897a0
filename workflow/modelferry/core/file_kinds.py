"""What a file is that was given in the place of another: told by its first bytes, and by what lies in a zip archive."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

WEIGHTS = "export it: `modelferry export`, or `modelferry.export_checkpoint` in Python"
EVENTS = "give it as events: `events` of the config, or --inputs"


class Kind(NamedTuple):
    """What a file is, and what to do with it."""

    name: str
    remedy: str


STARTS = {
    **{bytes((0x80, protocol)): Kind("a pickle, as old checkpoints are", WEIGHTS) for protocol in range(2, 6)},
    b"root": Kind("a ROOT file of events", EVENTS),
    b"PAR1": Kind("a parquet file of events", EVENTS),
    b"\x93NUMPY": Kind("an array of NumPy", EVENTS),
    b"\x89HDF": Kind("an HDF5 file", "give the checkpoint that PyTorch wrote"),
    b"version https://git-lfs": Kind("a pointer of Git LFS instead of the file itself", "fetch it: git lfs pull"),
    b"<!DOCTYPE html": Kind("an HTML page", "download the file itself"),
    b"<html": Kind("an HTML page", "download the file itself"),
    b"\x1f\x8b": Kind("compressed by gzip", "unpack it"),
}
EMPTY = Kind("an empty file", "copy or export it again")
CHECKPOINT = Kind("a checkpoint: weights without a network", WEIGHTS)
ARRAYS = Kind("an archive of NumPy's arrays", EVENTS)


def kind_of_file(path: Path | str) -> Kind | None:
    """Return what a file is, if it is something that people mistake for an artifact; None if nothing tells."""
    if not Path(path).is_file():  # a named pipe would be waited for
        return None
    try:
        with Path(path).open("rb") as file:
            start = file.read(64)
    except OSError:
        return None
    if not start:
        return EMPTY
    if start.startswith(b"PK"):
        return _kind_of_archive(path)
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 2**31:  # safetensors: the length of its header
        return CHECKPOINT
    return next((kind for begin, kind in STARTS.items() if start.startswith(begin)), None)


def _kind_of_archive(path: Path | str) -> Kind | None:
    names: list[str] = []
    with suppress(OSError, zipfile.BadZipFile, ValueError), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    inside = {name.partition("/")[2].partition("/")[0] for name in names}
    if "data.pkl" in inside and "code" not in inside:
        return CHECKPOINT
    return ARRAYS if names and all(name.endswith(".npy") for name in names) else None


def in_its_place(path: Path | str, wanted: str) -> tuple[str, str] | None:
    """Return what is wrong with a file that is something else than it should be, and the remedy."""
    kind = kind_of_file(path)
    return None if kind is None else (f"{path} is no {wanted} but {kind.name}", kind.remedy)
