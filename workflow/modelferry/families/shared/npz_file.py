"""Event files of NumPy: ``.npz`` with an array for each input, one entry an event."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.reading import reading_events

NPZ = ".npz"


def read_npz(path: Path) -> Arrays:
    """Return the arrays of a file by name; raise `EventFileError` if it is something else."""
    with reading_events(path, ".npz file of arrays"), np.load(path, allow_pickle=False) as archive:
        return dict(archive.items())
