"""ONNX Runtime in Python. Its C++ headers come with no package of the registries, hence no runtime in C++.

``onnxruntime@1.17.1`` is that version of it, whichever is installed: in a process of its own, with packages of its own.
"""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

from modelferry.core.contract import Arrays
from modelferry.runtimes import Runtime
from modelferry.runtimes.shared.process import OwnProcess, Process
from modelferry.runtimes.versions import packages, worker

NUMPY_2 = (1, 19)
"""The first ONNX Runtime that was built for NumPy 2."""


class OnnxRuntime(Runtime):
    """ONNX Runtime in this process."""

    name = "onnxruntime"
    library = "onnxruntime"

    def of_version(self, version: str) -> Runtime:
        """Return the runtime in another version."""
        return OtherVersion(version)


class Checked(Process):
    """A process to which only inputs within the contract are sent."""

    def ask(self, inputs: Arrays) -> tuple[Arrays, dict[str, object]]:
        """Return the outputs by name, and what the program says about the call."""
        self.contract.check(inputs)
        return super().ask(inputs)


class OtherVersion(OwnProcess):
    """ONNX Runtime in a version of its own, in a Python that sees nothing but it and a NumPy that it works with."""

    def __init__(self, version: str) -> None:
        self.version = version

    @cached_property
    def name(self) -> str:  # type: ignore[override]
        """The name, with the version."""
        return f"onnxruntime@{self.version}"

    def unavailable(self) -> str:
        """Ask for pip, unless the packages are there."""
        return "" if packages.folder_of(self.name).is_dir() else packages.unavailable()

    def start(self, path: Path, threads: int) -> Process:
        """Start the worker; the packages are got the first time."""
        from modelferry.formats.onnx import read_contract

        numpy = "numpy<2" if tuple(map(int, self.version.split(".")[:2])) < NUMPY_2 else "numpy"
        folder = packages.packages(self.name, [f"onnxruntime=={self.version}", numpy])
        command = [sys.executable, "-I", "-S", worker.__file__, str(folder), str(path), str(threads)]
        return Checked(command, path, read_contract(path))


RUNTIME = OnnxRuntime()
