"""What a config names by its import path: ``package.module:Name``, installed or in the folder that one works in."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from modelferry.core.errors import ConfigError, did_you_mean


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
