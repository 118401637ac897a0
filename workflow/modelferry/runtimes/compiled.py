"""Compiled source: a C++ program that holds one network."""

from __future__ import annotations

from modelferry.runtimes import Runtime


class Compiled(Runtime):
    """A program of its own."""

    name = "compiled"
    library = "subprocess"


RUNTIME = Compiled()
