"""Reading exported programs with PyTorch's own loader, which is spared what it does anew for each of their entries."""

from __future__ import annotations

import builtins
import threading
import types
import typing
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from modelferry.formats.shared.program import unremembered

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_READING = threading.Lock()
"""While a program is read, modules of PyTorch and SymPy are patched."""


@contextmanager
def program_read(path: Path) -> Iterator[ExportedProgram]:
    """Give what ``torch.export.load`` reads; PyTorch forgets the graph afterwards, with what was made of it meanwhile.

    A program of 250 operations is read in two thirds of the time: for each of its thousands of entries, PyTorch would
    evaluate the annotations of a class, or let SymPy import all its names to parse a size.
    """
    import torch._export.serde.serialize as reader
    import torch.export
    from sympy.parsing import sympy_parser

    parse = partial(sympy_parser.parse_expr, global_dict=_names_of_sympy())
    with unremembered(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        with (
            _READING,
            mock.patch.object(reader, "typing", _Typing(), create=True),
            mock.patch.object(sympy_parser, "parse_expr", parse),
        ):
            program = torch.export.load(str(path))
        yield program


class _Typing:
    """The module `typing`, but that it remembers the type hints of classes."""

    def __init__(self) -> None:
        self._hints: dict[type, dict[str, Any]] = {}

    def get_type_hints(self, of: type, globalns: dict[str, Any] | None = None) -> dict[str, Any]:
        if of not in self._hints:
            self._hints[of] = typing.get_type_hints(of, globalns=globalns)
        return self._hints[of]

    def __getattr__(self, name: str) -> Any:
        return getattr(typing, name)


@cache
def _names_of_sympy() -> dict[str, Any]:
    """Return what SymPy's parser looks names up in, as it makes it by itself for every expression."""
    import sympy

    functions = {name: value for name, value in vars(builtins).items() if isinstance(value, types.BuiltinFunctionType)}
    names = {name: getattr(sympy, name) for name in sympy.__all__}
    return {**names, **functions, "max": sympy.Max, "min": sympy.Min}
