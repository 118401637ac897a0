"""What a config names by its import path: ``package.module:Name``, installed or in the folder that one works in."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from modelferry.core.errors import ConfigError, did_you_mean, one_line

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of classes that become parts of file names and of the names of rules."""
VERSION = re.compile(r"[0-9]+(\.[0-9]+)+")


def kind_and_version(name: str) -> tuple[str, str]:
    """Return the parts of ``kind@version``; the version is empty where none is asked for.

    Raises
    ------
    ConfigError
        If what is asked for is no version.
    """
    kind, at, version = name.partition("@")
    if at and not VERSION.fullmatch(version):
        raise ConfigError(f"'{name}' asks for the version '{version}'", f"write numbers, such as {kind}@1.17.1")
    return kind, version


def module_of(name: str, kind: str, known: Collection[str], module: str) -> str:
    """Return the module of a format, runtime or family: `module` for a `known` name, or that of an import path."""
    if ":" in name:
        return name.partition(":")[0]
    if name not in known:
        raise ConfigError(f"unknown {kind} '{name}'", did_you_mean(name, known))
    return module


def imported(path: str, what: str) -> Any:
    """Return the object at ``package.module:Name``; raise `ConfigError`, calling it a `what`, if there is none."""
    module_name, _, attribute = path.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module may fail in any way
        remedy = "install it, or start in the folder that holds it, and see that it imports"
        raise ConfigError(f"{what} '{path}': {type(error).__name__}: {error}", remedy) from error
    if not hasattr(module, attribute):
        raise ConfigError(f"{what} '{path}': {module_name} has no '{attribute}'", did_you_mean(attribute, dir(module)))
    return getattr(module, attribute)


def own_instance(path: str, what: str, kind: Any, taken: Collection[str]) -> Any:
    """Return an instance of the user's class at ``package.module:Class``, which has a `name`.

    Raises
    ------
    ConfigError
        If there is no such class, it is not derived from `kind`, it lacks something, or its name cannot be used: it is
        among those `taken`, or it would not make a file name.
    """
    made = imported(path, what)
    if not (isinstance(made, type) and issubclass(made, kind)):
        raise ConfigError(f"{what} '{path}' is not a {kind.__module__}.{kind.__name__}", "derive it from that class")
    if missing := [name for name in kind.__annotations__ if not hasattr(made, name)]:
        raise ConfigError(f"{what} '{path}' has no {' and no '.join(missing)}", "add it to the class")
    try:
        instance = made()
    except Exception as error:  # a user's class may fail in any way
        raise ConfigError(f"{what} '{path}' cannot be instantiated: {one_line(error)}", "see its __init__") from error
    name = getattr(instance, "name", "")
    if not NAME.fullmatch(name):
        raise ConfigError(f"{what} '{path}' has the name '{name}'", "use lower-case letters, digits and underscores")
    if name in taken:
        raise ConfigError(f"{what} '{path}' has the name '{name}' of one of modelferry's own", "choose another name")
    return instance
