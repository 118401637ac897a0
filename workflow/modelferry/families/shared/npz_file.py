"""Event files of NumPy: ``.npz`` with an array for each input, one entry an event."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.errors import EventFileError

NPZ = ".npz"


def read_npz(path: Path) -> Arrays:
    """Return the arrays of a file by name; raise `EventFileError` if it is something else."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive.items())
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise EventFileError(f"{path} is not an .npz file of arrays: {error}", "write it with numpy.savez") from None
