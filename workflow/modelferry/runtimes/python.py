"""Plain Python: a fresh interpreter that finds the standard library only."""

from __future__ import annotations

from modelferry.runtimes import Runtime


class Python(Runtime):
    """An interpreter of its own, with nothing but the standard library."""

    name = "python"
    library = "subprocess"


RUNTIME = Python()
