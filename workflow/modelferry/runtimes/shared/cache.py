"""What runtimes build once for all folders of a user: libraries, environments."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = "MODELFERRY_CACHE"
"""Environment variable with the folder that builds are kept in."""


def cache_folder() -> Path:
    """Return the folder, which is there."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "modelferry"
    folder = Path(os.environ.get(CACHE, "") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def one_at_a_time(made: Path) -> Iterator[None]:
    """Wait until no other process makes what is to lie at `made`."""
    with made.with_name(f"{made.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
