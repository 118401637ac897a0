"""PyTorch's `.pt2` archives: a zip of uncompressed entries below one top folder, aligned to 64 bytes.

Exported programs and AOTInductor packages are both called `.pt2`; only what lies inside tells them apart.

Source: ``caffe2/serialize/inline_container.h`` and ``torch/export/pt2_archive`` in PyTorch.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from modelferry.checkpoints.shapes import SPARE, TIMES, check_content
from modelferry.core.errors import ArtifactError
from modelferry.core.reading import regular_file

EXTRA = "extra/"
"""Folder of what a user adds; ``torch.export.load`` returns it."""
CONTRACT = f"{EXTRA}contract.json"
WEIGHTS = f"{EXTRA}weights.json"
CONTAINER_VERSION = 6
FOREIGN = "export it again, and ask where this file comes from"
_OF_THE_WRITER = (".data/", "byteorder", "version")


class Kind(Enum):
    """What an archive holds, by the folder that gives it away."""

    PROGRAM = "models/"
    PACKAGE = "data/aotinductor/"


_CALLED = {
    Kind.PROGRAM: ("an exported program", "torch_export"),
    Kind.PACKAGE: ("an AOTInductor package", "aotinductor"),
}


def read_archive(path: Path, kind: Kind) -> dict[str, bytes]:
    """Return all entries of an archive by their names below the top folder.

    Raises
    ------
    ArtifactError
        If `path` is missing, no archive, or one of another kind.
    """
    with _opened(path, kind) as (archive, names):
        return {name: archive.read(entry) for name, entry in names.items()}


def read_entries(path: Path, kind: Kind | None, *wanted: str) -> dict[str, bytes]:
    """Return the entries called `wanted` of an archive of a kind, or any; raise `ArtifactError` if one is missing."""
    with _opened(path, kind) as (archive, names):
        if missing := [name for name in wanted if name not in names]:
            raise ArtifactError(f"{path} lacks {' and '.join(missing)}", "export it with modelferry")
        return {name: archive.read(names[name]) for name in wanted}


def write_archive(entries: Mapping[str, bytes], out: Path) -> None:
    """Write `entries` as PyTorch does; equal entries give equal bytes."""
    import torch

    with out.open("wb") as file:
        writer = torch._C.PyTorchFileWriter(file)
        writer.set_min_version(CONTAINER_VERSION)
        for name, data in entries.items():
            if not name.startswith(_OF_THE_WRITER):
                writer.write_record(name, data, len(data))
        writer.write_end_of_file()


@contextmanager
def _opened(path: Path, kind: Kind | None = None) -> Iterator[tuple[zipfile.ZipFile, dict[str, str]]]:
    called = _CALLED[kind][0] if kind else "an artifact"
    regular_file(path, ArtifactError, "make it first")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2]: name for name in archive.namelist()}
            _check_members(path, archive.infolist())
            if kind is not None:
                _check_kind(path, kind, names)
            yield archive, names
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ArtifactError(f"{path} is damaged, or not {called}: {error}", "make it again") from error


def _check_members(path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    """Raise `ArtifactError` for names that lead out of a folder, that two readers may take differently, or for bombs.

    PyTorch extracts packages into a folder, to whatever path a name gives.
    """
    names = [member.filename for member in members]
    for name in names:
        if name.startswith("/") or "\\" in name or ":" in name or {"..", "."} & {*name.split("/")}:
            raise ArtifactError(f"{path} is refused: its entry {name!r} would be written outside its folder", FOREIGN)
    if len({name.partition("/")[2] for name in names}) < len(names):
        raise ArtifactError(f"{path} is refused: it has two entries of one name", FOREIGN)
    if sum(member.file_size for member in members) > TIMES * path.stat().st_size + SPARE:
        raise ArtifactError(f"{path} is refused: its entries are much larger than the file", FOREIGN)


def refuse_code(path: Path) -> None:
    """Raise `ArtifactError` for an exported program that PyTorch would run code of while it loads it.

    ``torch.export.load`` reads sample inputs, and weights and constants that say so, as any pickle; here they are read
    as weights only, and constants that are no tensors are refused. The graph is a program of PyTorch's operators.
    """
    import torch

    entries = read_archive(path, Kind.PROGRAM)
    pickles = {name for name in entries if name.endswith(".pt")}
    for config in [name for name in entries if name.endswith("_config.json")]:
        for entry in json.loads(entries[config])["config"].values():
            if entry["path_name"].startswith(("custom_obj", "opaque_obj")):
                raise ArtifactError(f"{path} is refused: it holds an object, '{entry['path_name']}'", FOREIGN)
            if entry.get("use_pickle"):
                pickles.add(os.path.normpath(f"{config.rpartition('/')[0]}/{entry['path_name']}"))
    for name in sorted(pickles & entries.keys()):
        try:
            check_content(io.BytesIO(entries[name]), len(entries[name]))
            torch.load(io.BytesIO(entries[name]), map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can break the reader anywhere
            raise ArtifactError(f"{path} is refused: reading '{name}' would run code, or hang", FOREIGN) from error


def is_of_kind(path: Path, kind: Kind) -> bool:
    """Return whether a file is an archive that holds this."""
    try:
        with _opened(path) as (_, names):
            return _kind(names) is kind
    except ArtifactError:
        return False


def entries_of(path: Path) -> list[str]:
    """Return the names of an archive's entries below its top folder."""
    with _opened(path) as (_, names):
        return list(names)


def kind_of(path: Path) -> Kind:
    """Return what an archive holds; raise `ArtifactError` if it is neither."""
    with _opened(path) as (_, names):
        if (kind := _kind(names)) is None:
            raise ArtifactError(f"{path} is neither an exported program nor an AOTInductor package", "export it again")
        return kind


def format_of(kind: Kind) -> str:
    """Return the name of the format whose artifacts are such archives."""
    return _CALLED[kind][1]


def _kind(names: Collection[str]) -> Kind | None:
    return next((kind for kind in Kind if any(name.startswith(kind.value) for name in names)), None)


def _check_kind(path: Path, wanted: Kind, names: Collection[str]) -> None:
    kind = _kind(names)
    called, _ = _CALLED[wanted]
    if kind is None:
        raise ArtifactError(f"{path} is not {called}", "make it again")
    if kind is not wanted:
        other, its_format = _CALLED[kind]
        raise ArtifactError(f"{path} is {other}, not {called}", f"load it as format '{its_format}'")
