"""Artifacts that run in a worker: a process of their own, called through pipes."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError
from modelferry.core.running import peak_memory_mb

HEADER = struct.Struct("<II")


class Worker:
    """A network in another process; a `Runner`. The process ends with this object, or with this process.

    The process writes its contract as a line of JSON, and then answers as `formats.codegen.worker` says. Its outputs
    are float64, whatever the contract calls them, so that no digit is lost.
    """

    def __init__(self, command: Sequence[str], path: Path) -> None:
        self.path = path
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env={"PATH": ""}
        )
        weakref.finalize(self, _end, self._process)
        assert self._process.stdin
        assert self._process.stdout
        self._send, self._receive = self._process.stdin, self._process.stdout
        line = self._receive.readline()
        if not line:
            raise self._failed("does not load")
        self.contract = Contract.model_validate_json(line)

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name, (rows, values) float64."""
        self.contract.check(inputs)
        (rows,) = (np.ascontiguousarray(inputs[tensor.name]) for tensor in self.contract.inputs)
        (output,) = self.contract.outputs
        width = output.shape[-1]
        assert isinstance(width, int)
        size = 8 * len(rows) * width
        try:
            self._send.write(HEADER.pack(len(rows), rows.nbytes // len(rows)) + rows.tobytes())
            self._send.flush()
            answer = self._receive.read(size)
        except BrokenPipeError:
            answer = b""
        if len(answer) != size:
            raise self._failed("stopped during a call")
        return {output.name: np.frombuffer(answer, "<f8").reshape(len(rows), width)}

    def peak_memory_mb(self) -> float:
        """Return the most memory that the process has used."""
        return peak_memory_mb(self._process.pid)

    def _failed(self, what: str) -> ArtifactError:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        messages = self._errors.read().decode(errors="replace").strip().splitlines()
        return ArtifactError(f"{self.path} {what}: {messages[-1] if messages else 'no message'}", "export it again")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # what an ended process did not read is lost
            if pipe:
                pipe.close()
