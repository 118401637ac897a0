"""What a run, its job server and the clients of it agree upon: names, surroundings, and how a job is handed over.

Imported by every job before anything else, so it stays within the small modules of the standard library.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import sys
import zlib
from typing import Any, NamedTuple

VARIABLE = "MODELFERRY_SERVER"
"""Names the run in the environment of its jobs; ``0`` switches the server off."""
PREFIX = "modelferry-jobs-"
VOLATILE = frozenset({"_", "SHLVL", "PWD", "OLDPWD"})
"""Variables that shells keep for themselves."""
DESCRIPTORS = 4
"""Handed over with each job: standard input, output and error, and the working folder."""


class Run(NamedTuple):
    """A Snakemake process: server and sockets are its own, and end with it."""

    pid: str
    started: str
    host: str
    folder: str

    @property
    def alive(self) -> bool:
        """Whether the process is still there, on this machine."""
        return self.started == start_time(self.pid) != "" and self.host == os.uname().nodename


def announced() -> dict[str, str]:
    """Return the environment that makes this process a run whose jobs share a server; empty where there is none.

    Nothing is started or written: the first job does that.
    """
    if sys.platform != "linux" or os.environ.get(VARIABLE) == "0":
        return {}
    import tempfile

    pid = str(os.getpid())
    started = start_time(pid)
    folder = f"{tempfile.gettempdir()}/{PREFIX}{pid}-{started}-{os.urandom(8).hex()}"
    return {VARIABLE: ":".join([pid, started, os.uname().nodename, folder])}


def remove_leftovers() -> None:
    """Remove what the servers of runs that have ended left behind, because they were killed."""
    import shutil
    import tempfile
    from pathlib import Path

    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*-*"):
        pid, started, _ = folder.name.removeprefix(PREFIX).split("-", 2)
        if start_time(pid) != started and folder.lstat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)


def named_run() -> Run | None:
    """Return the run that the environment names, if it is one of this machine and still there."""
    parts = os.environ.get(VARIABLE, "").split(":", 3)
    run = Run(*parts) if len(parts) == len(Run._fields) else None
    return run if run and sys.platform == "linux" and run.alive else None


def start_time(pid: str) -> str:
    """Return when a process was started, in the kernel's ticks; empty if there is none, or it has ended."""
    try:
        handle = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            state, *facts = os.read(handle, 4096).rpartition(b")")[2].decode().split()
        finally:
            os.close(handle)
    except (OSError, ValueError):  # ValueError: no number, or nothing to read
        return ""
    return "" if state in "ZX" else facts[18]


def surroundings() -> list[str]:
    """Return what a job takes over from the process that imports its modules: it must be the same for both."""
    kept = sorted(f"{name}={value}" for name, value in os.environ.items() if name not in VOLATILE)
    machine = [sys.executable, __file__, str(sorted(os.sched_getaffinity(0))), str(os.nice(0))]
    return [*machine, *sys.warnoptions, *kept]


def socket_path(run: Run, of: list[str]) -> str:
    """Return the path of the socket of the server with these surroundings."""
    return f"{run.folder}/{zlib.crc32(json.dumps(of).encode()):08x}.socket"


def is_mine(link: socket.socket) -> bool:
    """Return whether the process at the other end belongs to the same user."""
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return bool(uid == os.geteuid())


def send(link: socket.socket, job: dict[str, Any], descriptors: list[int]) -> None:
    """Hand over a job."""
    text = json.dumps(job).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    link.sendmsg([struct.pack("!I", len(text))], rights)
    link.sendall(text)


def receive(link: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Take over a job and its descriptors; raise `OSError` or `ValueError` if it does not arrive whole."""
    space = socket.CMSG_SPACE(DESCRIPTORS * array.array("i").itemsize)
    size, rights, *_ = link.recvmsg(4, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for _, _, data in rights:
        descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    try:
        if len(descriptors) != DESCRIPTORS or len(size) != 4:
            raise ValueError("a job without its descriptors")
        job: dict[str, Any] = json.loads(_exactly(link, struct.unpack("!I", size)[0]))
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return job, list(descriptors)


def _exactly(link: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        if not (part := link.recv(min(size, 2**16))):
            raise ValueError("a job that ends early")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
