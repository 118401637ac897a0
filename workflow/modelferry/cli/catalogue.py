"""The formats and families that come with modelferry, for help texts: one line each, from their own modules."""

from __future__ import annotations

import importlib
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator

from modelferry.families import family_module, family_names
from modelferry.formats import format_module, format_names


def catalogue() -> str:
    """Return the names with what their modules say of themselves, for the end of a help text."""
    kinds = {"formats": (format_names(), format_module), "families": (family_names(), family_module)}
    return "\n\n".join("\n".join(_listed(kind, names, module)) for kind, (names, module) in kinds.items()) + "\n"


def _listed(kind: str, names: Iterable[str], module: Callable[[str], str]) -> Iterator[str]:
    yield f"{kind}, beside your own as package.module:Class:"
    known = sorted(names)
    indent = 4 + max(map(len, known))
    width = max(shutil.get_terminal_size().columns - 2, indent + 30)
    for name in known:
        first, *_ = (importlib.import_module(module(name)).__doc__ or "").splitlines()
        yield textwrap.fill(
            first,
            width,
            initial_indent=f"  {name}".ljust(indent),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
    yield ""
