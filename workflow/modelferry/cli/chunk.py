"""What a cluster job does: a Snakemake of its own on its share of a run."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from modelferry.config.file import read_config
from modelferry.core.running import stop_if_superseded, superseded
from modelferry.plan.announcement import CONSOLE, VERBOSE
from modelferry.plan.chunks import TRIES, check_node, plan_of_run
from modelferry.plan.nested import command


def chunk(options: argparse.Namespace) -> int:
    """Make one chunk of a run; only a run on a cluster calls it.

    What still fails at the last try is left to the report, and the other chunks go on.
    """
    run, _, name = options.chunk.rpartition("/")
    stop_if_superseded(run)
    plan = plan_of_run(run)
    check_node(plan, read_config(options.config))
    told = ("--verbose",) if os.environ.get(CONSOLE) == VERBOSE else ()
    if name.startswith("report"):  # whatever remains, with the report and the gate, as on one machine
        return _snakemake(run, options.log, command(options.cores, *told))
    files = plan.chunks[name].files
    failed = _snakemake(run, options.log, command(options.cores, "--no-hooks", *told, targets=files))
    return failed if options.attempt < TRIES else 0


def _snakemake(run: str, log: str, words: list[str]) -> int:
    """Run a Snakemake to its end, or stop it when another run begins in the folder; return 0, or 1 if it failed."""
    with Path(log).open("ab") as file, subprocess.Popen(words, stdout=file, stderr=file) as process:
        while True:
            try:
                return int(process.wait(timeout=2) != 0)
            except subprocess.TimeoutExpired:
                if superseded(run):
                    process.terminate()  # it finishes the jobs that it has begun
                    process.wait()
                    stop_if_superseded(run)
