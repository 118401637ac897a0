"""PyTorch in Python."""

from __future__ import annotations

from modelferry.runtimes import Runtime


class PyTorch(Runtime):
    """PyTorch in this process."""

    name = "pytorch"
    library = "torch"


RUNTIME = PyTorch()
