"""Jobs that outlive their Snakemake: each holds a lock while it works, and the next run waits for it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelferry.core.errors import ModelferryError
from modelferry.core.paths import CURRENT_RUN, STATE
from modelferry.core.reading import read_text

PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
JOBS = f"{STATE}/jobs"
RUN = "MODELFERRY_RUN"
"""Environment variable that names the run a process is a part of; whoever finds it set is not the one that leads it."""
TIMES = "MODELFERRY_TIMES"
"""Environment variable with a file that collects what jobs cost, as `bench/campaign.py` reads it."""


@contextmanager
def timed(command: str) -> Iterator[None]:
    """Append what a job cost to the file that `MODELFERRY_TIMES` names, a line of JSON, if it names one."""
    path = os.environ.get(TIMES)
    started, before = time.perf_counter(), cpu_seconds()
    try:
        yield
    finally:
        if path:
            peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
            cost = {
                "command": command,
                "seconds": time.perf_counter() - started,
                "cpu_seconds": cpu_seconds() - before,
                "peak_memory_mb": peak / 1024,
            }
            with Path(path).open("a") as file:
                file.write(json.dumps(cost) + "\n")


def peak_memory_mb(pid: int | str = "self") -> float:
    """Return the most memory that a process has used; `getrusage` also counts what a parent had when it forked."""
    try:
        return int(PEAK.search(Path(f"/proc/{pid}/status").read_text())[1]) / 1024  # type: ignore[index]
    except (OSError, TypeError):  # not on Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_seconds() -> float:
    """Return the core-seconds of this process and of its children that have ended."""
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


@contextmanager
def job() -> Iterator[None]:
    """Hold the lock of jobs, which many may do at a time; the kernel lets go of it when the process ends, however.

    Raise `ModelferryError` in a job of an earlier run that comes too late: the run of today did not wait for it.
    """
    try:
        handle = os.open(JOBS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:  # not in the folder of a workflow, or one that nobody may write to
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        if RUN in os.environ:
            stop_if_superseded(os.environ[RUN])
        yield
    finally:
        os.close(handle)


def superseded(run: str) -> bool:
    """Return whether another run has begun in this folder."""
    try:
        return read_text(CURRENT_RUN, ModelferryError) != run
    except ModelferryError:
        return True


def stop_if_superseded(run: str) -> None:
    """Raise `ModelferryError` where another run has begun in this folder: files and records are its own now."""
    if superseded(run):
        raise ModelferryError(f"another run than {run} has begun in this folder", "there is nothing to do")


def wait_for_jobs() -> None:
    """Wait until no job is at work that a killed run left behind: it may still write its files."""
    Path(STATE).mkdir(parents=True, exist_ok=True)
    handle = os.open(JOBS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = f" ({', '.join(held)})" if (held := holders(handle)) else ""
            print(f"note: jobs of an earlier run{who} are still at work; this one waits for them", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


def holders(handle: int) -> list[str]:
    """Return the processes that hold a lock on a file; none where the system does not tell."""
    inode = f":{os.fstat(handle).st_ino}"
    try:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        return []
    return sorted({line[4] for line in lines if len(line) > 5 and line[1] == "FLOCK" and line[5].endswith(inode)})
