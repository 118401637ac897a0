"""C++ libtorch: artifacts run in a process of `modelferry-run`, which has no Python inside."""

from __future__ import annotations

from pathlib import Path

from modelferry.core import paths
from modelferry.core.contract import Contract
from modelferry.formats.shared.pt2_archive import CONTRACT, read_entries
from modelferry.runtimes.native import build
from modelferry.runtimes.shared.process import OwnProcess, Process


class Cpp(OwnProcess):
    """The library in ``workflow/cpp``, built with the libtorch of the installed PyTorch."""

    name = "cpp"

    def unavailable(self) -> str:
        """Ask for a compiler and CMake."""
        return build.unavailable()

    def files(self) -> tuple[str, ...]:
        """Return what the build leaves beside the runner."""
        return (paths.outcome(f"runtimes/cpp-{build.key()}", build.STAGE),)

    def start(self, path: Path, threads: int) -> Process:
        """Start `modelferry-run`, which checks inputs itself."""
        contract = Contract.model_validate_json(read_entries(path, None, CONTRACT)[CONTRACT])
        return Process([str(build.runner()), str(path), "--threads", str(threads)], path, contract)


RUNTIME = Cpp()
