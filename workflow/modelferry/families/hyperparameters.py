"""What a checkpoint tells of its network: hyperparameters that its shapes have, or that it states."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelferry.checkpoints.reader import without_prefixes
from modelferry.checkpoints.shapes import Shapes
from modelferry.core.errors import CheckpointError, ConfigError
from modelferry.core.reading import parse_yaml
from modelferry.families import Family, family_names, load_family


def read_hyperparameters(family: Family, path: Path | str) -> dict[str, Any]:
    """Return what a checkpoint tells; raise `CheckpointError` if it holds no tensors."""
    return {**infer_hyperparameters(family, family.read_shapes(Path(path))), **family.stated(Path(path))}


def infer_hyperparameters(family: Family, shapes: Shapes) -> dict[str, Any]:
    """Return what `family` reads off the shapes, whatever prefix their names have."""
    return next((found for state in without_prefixes(shapes) if (found := family.infer(state))), {})


def find_family(path: Path) -> str:
    """Return the name of the family that reads its hyperparameters off a checkpoint.

    Raises
    ------
    CheckpointError
        If the file is missing, or no family can open it.
    ConfigError
        If none or several read it.
    """
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}", "check the path")
    matching, opened = [], False
    for name in family_names():
        family = load_family(name)
        try:
            shapes = family.read_shapes(path)
        except CheckpointError as error:
            reason = error
            continue
        opened = True
        with suppress(LookupError, TypeError, ValueError):  # shapes that a family's own never have
            if infer_hyperparameters(family, shapes):
                matching.append(name)
    if not opened:
        raise reason
    if len(matching) != 1:
        what = f"the networks of {' and '.join(matching)}" if matching else "no network that modelferry knows by shapes"
        remedy = f"say which with --family: {', '.join(family_names())}, or yours as package.module:Class"
        raise ConfigError(f"the tensors of {path} fit {what}", remedy)
    return matching[0]


def named_values(texts: Sequence[str], option: str, example: str) -> dict[str, Any]:
    """Return the values of ``name=value``, read as YAML; `option` and `example` are for the error's remedy."""
    values = {}
    for text in texts:
        name, sign, value = text.partition("=")
        remedy = f"write {option} NAME=VALUE, for instance {example}"
        if not (name and sign):
            raise ConfigError(f"'{text}' sets nothing", remedy)
        try:
            values[name] = parse_yaml(value, ConfigError, "it")
        except ConfigError:
            raise ConfigError(f"'{value}' is not a value", remedy) from None
    return values
