"""Classes that may be made while a checkpoint is read, since somebody named them: no others, and never a function."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from modelferry.core.errors import ConfigError
from modelferry.core.import_path import imported

HARMLESS = frozenset({"argparse:Namespace", "pathlib:PosixPath", "pathlib:PurePosixPath"})
"""Classes of Python's own library that may be trusted; some others start programs or open files when they are made."""
_names: set[str] = set()


def trust(names: Iterable[str]) -> None:
    """Let these classes, as ``package.module:Class``, be made by every checkpoint that this process reads.

    Raises
    ------
    ConfigError
        If a name is not that of a class, or of one that makes more than an object.
    """
    for name in names:
        module, sign, attribute = name.partition(":")
        if not (module and sign and attribute.isidentifier()):
            raise ConfigError(f"'{name}' is not the name of a class", "write package.module:Class")
        if module.partition(".")[0] in sys.stdlib_module_names and name not in HARMLESS:
            raise ConfigError(f"{name} is Python's own, and not trusted", f"known: {', '.join(sorted(HARMLESS))}")
        _names.add(name)


def trusted_classes() -> list[type]:
    """Return the classes; raise `ConfigError` if one cannot be imported, or is none."""
    found = {name: imported(name, "trusted class") for name in sorted(_names)}
    for name, value in found.items():
        if not isinstance(value, type):
            raise ConfigError(f"{name} is no class, but a {type(value).__name__}", "name a class")
    return list(found.values())
