"""Artifacts in a process of their own, which takes frames of inputs through a pipe and answers with outputs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError, ContractError, ModelferryError
from modelferry.formats import Format, Runner
from modelferry.runtimes import ColdStart, Runtime

DTYPES = ("float64", "float32", "int64", "int32", "uint8", "bool")
"""What goes through the pipes; NumPy has no bfloat16."""
ERRORS: dict[str, type[ModelferryError]] = {"contract": ContractError, "execution": ContractError}
"""Errors of a program by kind; an `ArtifactError` is any other."""


class Process:
    """An artifact loaded by a program that answers one frame of inputs after the other; a `Runner`.

    The format of frames stands in ``workflow/cpp/run/frames.h``. The process ends when this object goes.
    """

    def __init__(self, command: Sequence[str], path: Path, contract: Contract) -> None:
        self.path, self.contract, self._program = path, contract, Path(command[0]).name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors)
        ready, _ = self._read()
        self.load_seconds: float = ready["load_seconds"]
        self._peak_memory_mb = float("nan")

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name."""
        return self.ask(inputs)[0]

    def peak_memory_mb(self) -> float:
        """Return the most memory that the process had used when its last call ended; NaN before the first."""
        return self._peak_memory_mb

    def ask(self, inputs: Arrays) -> tuple[Arrays, dict[str, Any]]:
        """Return the outputs by name, and what the program says about the call: `seconds`, `peak_memory_mb`.

        Raises
        ------
        ContractError
            If the inputs are not what the contract asks for, or the network fails on them.
        ArtifactError
            If the process has ended.
        """
        for name, array in inputs.items():
            if not isinstance(array, np.ndarray) or str(array.dtype) not in DTYPES:
                given = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise ContractError(f"input '{name}' is {given}", f"give an array of {', '.join(DTYPES)}")
        tensors = [{"name": str(n), "dtype": str(a.dtype), "shape": a.shape} for n, a in inputs.items()]
        try:
            stream = _pipe(self._process.stdin)
            stream.write(json.dumps({"tensors": tensors}).encode() + b"\n")
            for array in inputs.values():
                stream.write(array.tobytes())
            stream.flush()
        except (BrokenPipeError, ValueError):
            self._ended()
        header, outputs = self._read()
        self._peak_memory_mb = header["peak_memory_mb"]
        return outputs, header

    def _read(self) -> tuple[dict[str, Any], Arrays]:
        stream = _pipe(self._process.stdout)
        line = stream.readline()
        if not line.endswith(b"\n"):
            self._ended()
        header: dict[str, Any] = json.loads(line)
        if error := header.get("error"):
            raise ERRORS.get(error["kind"], ArtifactError)(error["message"])
        outputs: Arrays = {}
        for tensor in header["tensors"]:
            array = np.empty(tensor["shape"], tensor["dtype"])
            data = stream.read(array.nbytes)
            if len(data) < array.nbytes:
                self._ended()
            outputs[tensor["name"]] = np.frombuffer(data, array.dtype).reshape(array.shape).copy()
        return header, outputs

    def _ended(self) -> NoReturn:
        code = self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().decode(errors="replace").strip().splitlines() or [""])[-1]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        raise ArtifactError(
            f"{self.path}: {self._program} {how}" + (f": {last}" if last else ""), "report this artifact"
        )

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is None:
            return
        process.kill()  # it keeps nothing; to take libtorch apart would take it 0.1 s
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._errors.close()


class OwnProcess(Runtime):
    """A runtime whose artifacts run in a process of their own each, which takes the time itself."""

    library = ""

    @abstractmethod
    def start(self, path: Path, threads: int) -> Process:
        """Return an artifact, loaded by a new process."""

    def load(self, target: Format, path: Path, threads: int) -> Runner:
        """Load in a process that finds out itself what kind of artifact it is."""
        return self.start(path, threads)

    def timed(self, run: Runner, inputs: Arrays) -> tuple[Arrays, float]:
        """Let the process take the time."""
        assert isinstance(run, Process)
        outputs, header = run.ask(inputs)
        return outputs, header["seconds"][-1]

    def cold_start(self, path: Path, threads: int, inputs: Arrays) -> ColdStart:
        """Start a process, which has nothing else to do."""
        process = self.start(path, threads)
        _, header = process.ask(inputs)
        return ColdStart(process.load_seconds * 1e3, header["seconds"][0] * 1e3, process.peak_memory_mb())


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
