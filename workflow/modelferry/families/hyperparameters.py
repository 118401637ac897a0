"""What a checkpoint tells of its network: hyperparameters that its shapes have, or that it states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelferry.checkpoints.reader import without_prefixes
from modelferry.checkpoints.shapes import Shapes
from modelferry.families import Family


def read_hyperparameters(family: Family, path: Path | str) -> dict[str, Any]:
    """Return what a checkpoint tells; raise `CheckpointError` if it holds no tensors."""
    return {**infer_hyperparameters(family, family.read_shapes(Path(path))), **family.stated(Path(path))}


def infer_hyperparameters(family: Family, shapes: Shapes) -> dict[str, Any]:
    """Return what `family` reads off the shapes, whatever prefix their names have."""
    return next((found for state in without_prefixes(shapes) if (found := family.infer(state))), {})
