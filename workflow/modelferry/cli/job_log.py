"""The log of a job of a run: what it prints, between two lines that tell when it began and ended."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from modelferry.core.running import RUN
from modelferry.plan.announcement import CONSOLE, SHORT

BEGIN = "--- modelferry "
"""With this begins what each job writes, with its command and the time."""
END = "--- ended "
"""With this ends what a job writes, unless it was killed."""
ERROR = "error: "


@contextmanager
def logged(log: str, arguments: Sequence[str]) -> Iterator[None]:
    """Note in a log when a job of a run begins and ends, and let what it prints go there, if the console speaks for it.

    What C++ and other programs print is included. A log that cannot be written leaves everything as it is.
    """
    try:
        file = _opened(log) if RUN in os.environ else None
    except OSError:
        file = None
    if file is None:
        yield
        return
    with file:
        file.write(f"{BEGIN}{shlex.join(arguments)} ({_now()})\n")
        try:
            with _printed_to(file) if os.environ.get(CONSOLE) == SHORT else nullcontext():
                yield
        finally:
            file.write(f"{END}({_now()})\n")


def is_at_work(log: str, since: float) -> bool:
    """Return whether a job that began after a time has not ended, as its log tells."""
    try:
        begun = Path(log).stat().st_mtime >= since
        return begun and Path(log).read_text(errors="replace").rpartition(BEGIN)[2].find(f"\n{END}") < 0
    except OSError:
        return False


def last_error(log: str) -> str:
    """Return the last error that a log tells of in the job that wrote to it last; empty if there is none."""
    try:
        last = Path(log).read_text(errors="replace").rpartition(BEGIN)[2]
    except OSError:
        return ""
    return next((line.removeprefix(ERROR) for line in reversed(last.splitlines()) if line.startswith(ERROR)), "")


def _opened(log: str) -> TextIO:
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    return Path(log).open("a", buffering=1)


@contextmanager
def _printed_to(file: TextIO) -> Iterator[None]:
    kept = [os.dup(1), os.dup(2)]
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        with redirect_stdout(file), redirect_stderr(file):
            yield
    finally:
        file.flush()
        for number, handle in enumerate(kept, start=1):
            os.dup2(handle, number)
            os.close(handle)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
