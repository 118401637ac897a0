"""The log of a job: where a run has a console of its own, what the job prints goes there instead of on the screen."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from modelferry.plan.announcement import CONSOLE, SHORT

BEGIN = "--- modelferry "
"""With this begins what each job writes, with its command and the time."""


@contextmanager
def printed_to_log(log: str, arguments: Sequence[str]) -> Iterator[None]:
    """Let what this process prints go to a log, where the console of the run speaks for its jobs.

    What C++ and other programs print is included. A log that cannot be written leaves everything as it is.
    """
    if os.environ.get(CONSOLE) != SHORT:
        yield
        return
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        file = Path(log).open("a", buffering=1)  # noqa: SIM115 - it may be none
    except OSError:
        yield
        return
    with file:
        file.write(f"{BEGIN}{shlex.join(arguments)} ({time.strftime('%Y-%m-%d %H:%M:%S')})\n")
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
