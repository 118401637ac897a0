"""Calls of an artifact with the outputs that they must give, as a file that NumPy alone can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.errors import ArtifactError
from modelferry.core.files import write_arrays
from modelferry.core.reading import regular_file

KINDS = ("input", "float32", "float64")


@dataclass(frozen=True)
class ExpectedCall:
    """Inputs of one call by name, and outputs by name, one row an event, in float32 and float64."""

    inputs: Arrays
    float32: Arrays
    float64: Arrays


def write_expected(path: Path, calls: Sequence[ExpectedCall]) -> None:
    """Write calls: arrays ``NUMBER/input/NAME``, ``NUMBER/float32/NAME`` and ``NUMBER/float64/NAME``."""
    arrays = {
        f"{number}/{kind}/{name}": array
        for number, call in enumerate(calls)
        for kind, named in zip(KINDS, (call.inputs, call.float32, call.float64), strict=True)
        for name, array in named.items()
    }
    write_arrays(path, arrays)


def read_expected(path: Path) -> list[ExpectedCall]:
    """Read calls; raise `ArtifactError` if the file holds none."""
    calls: dict[int, dict[str, dict[str, np.ndarray]]] = {}
    regular_file(path, ArtifactError, "get the release again")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                number, kind, name = key.split("/", 2)
                calls.setdefault(int(number), {kind: {} for kind in KINDS})[kind][name] = arrays[key]
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ArtifactError(
            f"{path} holds no events with expected outputs: {error}", "get the release again"
        ) from error
    if not calls:
        raise ArtifactError(f"{path} holds no events with expected outputs", "get the release again")
    return [ExpectedCall(call["input"], call["float32"], call["float64"]) for _, call in sorted(calls.items())]
