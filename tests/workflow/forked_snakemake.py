"""Snakemake in processes forked from one that has imported it, which takes longer than most of its answers.

Each imports the package for itself, from the folder that it works in; torch is imported by none.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

SNAKEMAKE = Path(sys.executable).with_name("snakemake")
LIBRARIES = ("snakemake.cli", "snakemake.report", "awkward", "pandas", "pydantic", "uproot", "yaml", "yte")
"""What Snakemake and the workflow import at every start."""


def snakemake(arguments: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run Snakemake to its end, in a folder and with an environment of its own."""
    server = _server()
    assert server.stdin
    assert server.stdout
    server.stdin.write(json.dumps([arguments, str(folder), environment]) + "\n")
    server.stdin.flush()
    return subprocess.CompletedProcess([str(SNAKEMAKE), *arguments], *json.loads(server.stdout.readline()))


@cache
def _server() -> subprocess.Popen[str]:
    """Start the process that forks; it ends with this one, whose end closes its input."""
    path = str(Path(__file__).parents[1] / "samples")
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def main() -> None:
    """Fork a process for each order, a line of JSON, and answer with what became of it."""
    from forked import forked

    for library in LIBRARIES:
        importlib.import_module(library)
    assert not {"modelferry", "torch"} & sys.modules.keys()
    for line in sys.stdin:
        arguments, folder, environment = json.loads(line)
        done = forked(lambda: _call(arguments, environment), Path(folder))  # noqa: B023 - it is called at once
        print(json.dumps([done.returncode, done.stdout, done.stderr]), flush=True)


def _call(arguments: list[str], environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:2] = [str(SNAKEMAKE.parent), *environment["PYTHONPATH"].split(os.pathsep)]
    sys.argv[:] = [str(SNAKEMAKE), *arguments]
    sys.modules["snakemake.cli"].main()


if __name__ == "__main__":
    main()
