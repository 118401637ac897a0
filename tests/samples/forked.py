"""A call in a process of its own that is forked from this one, and so need not import anything anew."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO


def forked(call: Callable[[], object], folder: Path) -> subprocess.CompletedProcess[str]:
    """Return the exit code of a call in a folder, and what it printed, as if it were a program."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        if (pid := os.fork()) == 0:
            _become(call, folder, out, err)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = [file.read() for file in (out, err) if file.seek(0) == 0]
    return subprocess.CompletedProcess([], code, *texts)


def _become(call: Callable[[], object], folder: Path, out: IO[str], err: IO[str]) -> None:
    """Be that program: never return."""
    code: object = 1
    try:
        for stream, file in enumerate((os.open(os.devnull, os.O_RDONLY), out.fileno(), err.fileno())):
            os.dup2(file, stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
        os.chdir(folder)
        code = call()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
