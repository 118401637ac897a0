"""A Snakemake started by another one, in the same folder and with the same config, that runs its jobs itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

from modelferry.config.file import ENVIRONMENT_VARIABLE
from modelferry.core.errors import ModelferryError


def command(cores: int, *options: str, targets: Iterable[str] = ()) -> list[str]:
    """Return the command of a Snakemake that makes `targets`, by default all.

    The profile of the cluster is left out, and with it what would submit jobs again.
    """
    config = os.environ[ENVIRONMENT_VARIABLE]
    start = [sys.executable, "-m", "snakemake", "--profile", "none", "--cores", str(cores), "--configfile", config]
    return [*start, *options, "--", *targets]


def pending() -> dict[str, str]:
    """Return the files that Snakemake would make now, each with its rule."""
    done = subprocess.run(command(1, "--summary"), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModelferryError(f"Snakemake cannot plan the run: {done.stderr.strip()}")
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    return {row[0]: row[2] for row in rows if row[-1] == "update pending"}
