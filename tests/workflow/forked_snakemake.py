"""Snakemake in processes forked from one that has imported it, which takes four times as long as most of its answers.

The package itself is imported by each process for itself, from the folder that it works in; torch is imported by none.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import Any

SNAKEMAKE = Path(sys.executable).with_name("snakemake")
LIBRARIES = ("snakemake.cli", "snakemake.report", "awkward", "pandas", "pydantic", "uproot", "yaml", "yte")
"""What Snakemake and the workflow import at every start."""


def snakemake(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Snakemake to its end, in a folder and with an environment of its own."""
    server = _server()
    assert server.stdin
    assert server.stdout
    order = {"arguments": arguments, "folder": str(folder), "environment": environment}
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return subprocess.CompletedProcess([str(SNAKEMAKE), *arguments], **json.loads(server.stdout.readline()))


@cache
def _server() -> subprocess.Popen[str]:
    """Start the process that forks; it ends with this one, whose end closes its input."""
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def main() -> None:
    """Fork a process for each order, a line of JSON, and answer with what became of it."""
    for library in LIBRARIES:
        importlib.import_module(library)
    assert not {"modelferry", "torch"} & sys.modules.keys()
    sys.path[0] = str(SNAKEMAKE.parent)
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            if (pid := os.fork()) == 0:
                _become(json.loads(line), out.fileno(), err.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = [file.seek(0) or file.read() for file in (out, err)]
        print(json.dumps({"returncode": code, "stdout": texts[0], "stderr": texts[1]}), flush=True)


def _become(order: dict[str, Any], out: int, err: int) -> None:
    """Be Snakemake: never return."""
    code: Any = 1
    try:
        for stream, file in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
            os.dup2(file, stream)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.path[1:1] = os.environ["PYTHONPATH"].split(os.pathsep)
        sys.argv[:] = [str(SNAKEMAKE), *order["arguments"]]
        sys.modules["snakemake.cli"].main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
