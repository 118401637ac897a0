"""A Snakemake started by another process in the same folder: on its share of a run, or to be asked what it would do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from modelferry.config.file import ENVIRONMENT_VARIABLE
from modelferry.core.errors import ModelferryError

PLUGIN = "modelferry"
"""Snakemake's logger plugin with the console of this package, as profiles name it."""
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
"""Where Snakemake looks for one."""
PROVENANCE = "Params have changed since last execution: "
"""What Snakemake says before the words of `plan.reasons`."""


class PlannedJob(BaseModel):
    """A job that a run would do: its rule, what it is about, and why."""

    rule: str
    wildcards: dict[str, str]
    reason: str


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


def would_run(config: str | None = None) -> list[PlannedJob]:
    """Return the jobs that a run in this folder would do now; raise `ModelferryError` if Snakemake cannot tell."""
    if find_spec("snakemake") is None:
        raise ModelferryError("Snakemake is not installed", "pip install 'modelferry[workflow]'")
    if not any(Path(name).is_file() for name in SNAKEFILES):
        raise ModelferryError(f"there is no Snakefile in {Path.cwd()}", "run in the workflow's folder")
    with tempfile.TemporaryDirectory() as folder:
        jobs = Path(folder, "jobs.jsonl")
        start = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--logger", PLUGIN]
        named = ["--configfile", config] if config else []
        done = subprocess.run(
            [*start, "--logger-modelferry-jobs", str(jobs), *named], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ModelferryError(f"Snakemake cannot plan the run: {_error(done.stderr)}")
        lines = jobs.read_text().splitlines() if jobs.exists() else []
    return [PlannedJob.model_validate_json(line) for line in lines]


def planned_job(rule: str, wildcards: dict[str, str], reason: str) -> PlannedJob:
    """Return a job as Snakemake tells of it, with a reason that does not say where it comes from."""
    return PlannedJob(rule=rule, wildcards=wildcards, reason=reason.replace(PROVENANCE, ""))


def _error(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error: ")), lines[-1] if lines else "it said nothing")
