"""A folder for an analysis of one's own, in which the packaged workflow runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelferry.core.errors import ModelferryError
from modelferry.core.installation import PROFILES, TEMPLATE

FAMILY = "my_family.py"
IGNORED = ".gitignore"


def write_folder(name: str, family: bool = False) -> list[str]:
    """Write Snakefile, config, profiles and .gitignore into a folder, and return the names of what was written.

    A ``.gitignore`` that is there stays as it is; any other file that is there is an error, before anything is written.

    Parameters
    ----------
    name
        The folder; it and its parents are made if need be.
    family
        Whether to start a family of one's own too.

    Raises
    ------
    ModelferryError
        If the name is none, or if something is there already or cannot be written.
    """
    folder = _folder(name)
    files = {file: source for file, source in _files() if file != FAMILY or family}
    taken = [file for file in files if (folder / file).exists() or (folder / file).is_symlink()]
    if there := next((file for file in taken if file != IGNORED), None):
        raise ModelferryError(f"{folder / there} is there already", "choose another folder, or move it")
    written = [file for file in files if file not in taken]
    try:
        for file in written:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            with (folder / file).open("xb") as target:
                target.write(files[file].read_bytes())
    except OSError as error:
        raise ModelferryError(f"{folder} cannot be written: {error.strerror}", "choose another folder") from None
    return written


def _folder(name: str) -> Path:
    """Return the folder of that name; raise `ModelferryError` where a shell or Snakemake would stumble over it."""
    if not name.strip():
        raise ModelferryError("the name of the folder is blank", "say `modelferry init my-analysis`")
    if not name.isprintable() or set("{}") & set(str(Path(name).absolute())):
        raise ModelferryError(f"{name!r} is no good name for a folder", "leave out braces and signs that do not print")
    return Path(name)


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the path in the folder, and the source, of each file."""
    for root, front in ((TEMPLATE, ""), (PROFILES, "profiles/")):
        for source in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            yield front + source.relative_to(root).as_posix(), source
