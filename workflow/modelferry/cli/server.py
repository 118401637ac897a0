"""The job server of a run: imports once what jobs need, then forks a process for each; `launcher` is its client.

One thread waits for clients, for the ends of jobs, and for that of Snakemake. The server belongs to one Snakemake
process. When that has ended, however, it takes no more jobs, lets the running ones finish, as their shells would, and
ends. It holds no lock and none of Snakemake's streams. It never computes with torch: OpenMP's threads do not survive a
fork, and a job would wait for them.

It is the server of this run's code: once a file of the package, or a module in the working folder, has changed, jobs
are refused and run by themselves, with what is there then, as all do without a server. New versions of other packages
are not looked for.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelferry.core import job_server
from modelferry.core.errors import log_traceback
from modelferry.core.job_server import Run

LOG = "logs/server.log"
TIMEOUT = 5.0
"""Seconds within which a client has to hand its job over."""
GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL for a job whose client is gone."""
WATCH = 1.0
"""Seconds between looks at Snakemake."""


@dataclass
class Job:
    """A forked process, the leader of a session of its own."""

    pid: int
    link: socket.socket
    overdue: float = float("inf")
    """When it is killed, in seconds of the monotonic clock: only once its client is gone."""

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it has started."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it leads no session yet
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Server:
    """Takes jobs from `listener` for as long as `run` is there."""

    def __init__(self, run: Run, listener: socket.socket, surroundings: list[str]) -> None:
        self.run = run
        self.listener = listener
        self.surroundings = surroundings
        self.sources = stamps(package_files())
        self.jobs: dict[int, Job] = {}
        self.open = True
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Return when Snakemake and all jobs have ended."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(woken, selectors.EVENT_READ, lambda: woken.recv(4096))
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        while self.open or self.jobs:
            for key, _ in self.selector.select(WATCH):
                key.data()
            if self.open and not self.run.alive:
                self._close()
            for job in list(self.jobs.values()):
                self._look_after(job)

    def _close(self) -> None:
        """Take no more jobs."""
        self.open = False
        self.selector.unregister(self.listener)
        self.listener.close()
        with suppress(OSError):
            Path(job_server.socket_path(self.run, self.surroundings)).unlink()
            Path(self.run.folder).rmdir()

    def _accept(self) -> None:
        descriptors: list[int] = []
        link, _ = self.listener.accept()
        link.settimeout(TIMEOUT)
        try:
            if not job_server.is_mine(link):
                raise PermissionError("a client of another user")
            order, descriptors = job_server.receive(link)
            if not (self.run.alive and order["surroundings"] == self.surroundings and self._is_current()):
                raise ValueError("a job that the server cannot do")
            pid = os.fork()
            if pid == 0:
                self._become(order, descriptors, link)
        except (OSError, ValueError, LookupError):
            link.close()
        else:
            link.settimeout(None)
            job = self.jobs[pid] = Job(pid, link)
            self.selector.register(link, selectors.EVENT_READ, lambda: self._heard(job))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _heard(self, job: Job) -> None:
        """Pass on the signals that a client got; stop its job if it is gone."""
        try:
            numbers = job.link.recv(64)
        except OSError:
            numbers = b""
        for number in numbers:
            job.signal(number)
        if not numbers:
            self.selector.unregister(job.link)
            job.overdue = time.monotonic() + GRACE
            job.signal(signal.SIGTERM)

    def _look_after(self, job: Job) -> None:
        pid, status = os.waitpid(job.pid, os.WNOHANG)
        if not pid:
            if time.monotonic() > job.overdue:
                job.signal(signal.SIGKILL)
            return
        del self.jobs[job.pid]
        if job.overdue == float("inf"):
            self.selector.unregister(job.link)
        else:
            job.signal(signal.SIGKILL)  # what it has left behind
        code = os.waitstatus_to_exitcode(status)
        with suppress(OSError):
            job.link.sendall(f"exit {code}\n".encode() if code >= 0 else f"signal {-code}\n".encode())
        job.link.close()

    def _is_current(self) -> bool:
        return stamps(self.sources) == self.sources

    def _become(self, order: Mapping[str, Any], descriptors: list[int], link: socket.socket) -> None:
        """Be a job: never return."""
        code = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            link.sendall(f"pid {os.getpid()}\n".encode())
            for other in (link, self.listener, *(job.link for job in self.jobs.values())):
                other.close()
            self.selector.close()
            code = run_job(order, descriptors)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)


def run_job(order: Mapping[str, Any], descriptors: list[int]) -> int:
    """Do a client's call in this process as if it were the client's own; return the exit code."""
    for stream, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, stream)
    os.fchdir(descriptors[3])
    for descriptor in descriptors:
        os.close(descriptor)
    os.umask(order["umask"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv[:], sys.path[:] = order["arguments"], order["path"]
    for stream, text in ((1, sys.stdout), (2, sys.stderr)):
        text.reconfigure(line_buffering=stream == 2 or os.isatty(1))  # type: ignore[union-attr]
    # What a process of multiprocessing would import anew; the script of the client imports next to nothing.
    sys.modules["__main__"] = types.ModuleType("__main__")
    from modelferry.cli.main import main as command

    try:
        code: Any = command()
    except SystemExit as end:
        code = end.code
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    # As the interpreter does at its end, but for taking all modules apart.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for text in (sys.stdout, sys.stderr):
        with suppress(OSError):
            text.flush()
    ctypes.CDLL(None).fflush(None)
    return code or 0


def package_files() -> list[str]:
    """Return the files of the package: jobs import some of them late."""
    return list(map(str, Path(job_server.__file__).parents[1].rglob("*.py")))


def own_files() -> list[str]:
    """Return the files of modules of the working folder that are imported."""
    here = f"{Path.cwd()}/"
    files = [str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())]
    return [file for file in files if file.startswith(here) and not file.startswith(sys.prefix)]


def stamps(files: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return what tells whether files are still the ones that they were; nothing for one that is gone."""
    found: dict[str, tuple[int, ...]] = {}
    for path in files:
        with suppress(OSError):
            facts = Path(path).stat()
            found[path] = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    return found


def main() -> None:
    """Import what jobs need, and serve; the argument is the number of a socket that listens already."""
    surroundings = job_server.surroundings()
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    run = job_server.named_run()
    if run is None:
        return
    server = Server(run, listener, surroundings)
    import modelferry.cli.main  # noqa: F401 - what every job needs, NumPy and its threads included

    before = threads()
    try:
        from modelferry.cli.preload import preload

        preload()
    except Exception:  # jobs will say so themselves
        log_traceback(LOG)
    if threads() > before:  # a module of the user's has computed something
        return
    server.sources |= stamps(own_files())
    gc.collect()
    gc.freeze()
    server.serve()


def threads() -> int:
    """Return the number of threads, but for those of a memory allocator that knows of forks."""
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return sum(not name.startswith("jemalloc") for name in names)


if __name__ == "__main__":
    main()
