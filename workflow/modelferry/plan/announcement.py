"""What the console of a run is told beside Snakemake's own words: the plan, and of which models each job is."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelferry.core import paths
from modelferry.plan import Plan, chunks
from modelferry.plan.nested import PLUGIN

CONSOLE = "MODELFERRY_CONSOLE"
"""Environment variable of a run: `SHORT` or `VERBOSE`; not set where Snakemake has another console."""
CHUNK = "chunk_"
"""So begin the names of rules of chunks."""
REPORTING = f"{CHUNK}report"
SHORT = "short"
VERBOSE = "verbose"


@dataclass(frozen=True)
class Job:
    """A job of Snakemake's.

    Attributes
    ----------
    name
        What a person calls it: the rule, and what it is about.
    models
        The models that it is about by id, each with the files that it makes of it where one job makes those of many.
    """

    rule: str
    name: str
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Announced:
    """All that a run has to do.

    Attributes
    ----------
    jobs
        By Snakemake's number.
    whole
        Whether the report is written: all of each model is done then, and not only what was asked for.
    """

    plan: Plan
    jobs: Mapping[int, Job]
    whole: bool


class Announcement(logging.Filter):
    """Adds `announced` to the record with which Snakemake says what it is about to run."""

    def __init__(self, workflow: Any) -> None:
        super().__init__()
        self.workflow = workflow
        self.plan: Plan | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if self.plan and getattr(record, "event", None) == "run_info":
            dag = self.workflow.dag
            needed = [*dag.needrun_jobs(exclude_finished=False)]
            whole = any(paths.REPORT in job.output or job.rule.name == REPORTING for job in needed)
            record.announced = Announced(self.plan, {dag.jobid(job): _job(job, self.plan) for job in needed}, whole)
        return True


def choose_console(workflow: Any) -> None:
    """Let jobs know whether the console speaks for them: what they print goes to their logs then."""
    settings = workflow.output_settings
    os.environ.pop(CONSOLE, None)
    if PLUGIN in settings.log_handler_settings:
        os.environ[CONSOLE] = VERBOSE if settings.verbose else SHORT


def _job(job: Any, plan: Plan) -> Job:
    rule, wildcards = job.rule.name, dict(job.wildcards_dict)
    if rule.startswith(CHUNK):
        name = f"{rule.removeprefix(CHUNK)}-{wildcards['number']}"
        return Job(rule, f"chunk {name}", _models_of_chunk(wildcards["run"], name, plan))
    model = wildcards.get("model")
    return Job(rule, " ".join([rule, *wildcards.values()]), {model: ()} if model in plan.listed else {})


def _models_of_chunk(run: str, name: str, plan: Plan) -> dict[str, tuple[str, ...]]:
    owners = dict(chunks.owners(plan))
    models: dict[str, list[str]] = {}
    for file in chunks.plan_of_run(run).chunks[name].files:
        if file in owners:
            models.setdefault(owners[file], []).append(file)
    return {model: tuple(files) for model, files in models.items()}
