"""ROOT files opened with uproot: what is wrong with one is said in a line that names the file and the branch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uproot

from modelferry.core.errors import EventFileError, did_you_mean
from modelferry.core.reading import check_entries, reading_events

TREE = "Events"


@contextmanager
def opened_tree(path: Path | str, name: str = TREE) -> Iterator[Any]:
    """Yield the tree of a file, as uproot has it.

    Raises
    ------
    EventFileError
        If the file is missing, truncated or lacks the tree, also while the tree is being read.
    """
    path = Path(path)
    with reading_events(path, "ROOT file") as size, uproot.open(path) as file:
        tree = _tree(file, path, name)
        check_entries(path, int(tree.num_entries), size)
        yield tree


def require_branches(tree: Any, path: Path | str, names: Sequence[str], remedy: str) -> None:
    """Raise `EventFileError` that names all branches that a tree lacks."""
    there = tree.keys()
    missing = [name for name in names if name not in there]
    if missing:
        hints = [f"{name} ({did_you_mean(name, there)})" for name in missing[:1]] + missing[1:]
        what = "branch" if len(missing) == 1 else "branches"
        raise EventFileError(f"{path}: tree '{tree.name}' lacks {what} {', '.join(hints)}", remedy)


def _tree(file: Any, path: Path, name: str) -> Any:
    trees = [key for key, kind in file.classnames(cycle=False).items() if kind == "TTree"]
    if name not in trees:
        raise EventFileError(f"{path}: no tree '{name}'", f"trees there: {', '.join(trees) or 'none'}; "
                             + did_you_mean(name, trees))  # fmt: skip
    return file[name]
