"""The console of a run: a line of progress, a line for each model that is done, and how it ended.

It is Snakemake's logger plugin ``modelferry``, which `profiles/default` asks for; the package
`snakemake_logger_plugin_modelferry` is where Snakemake looks for it. What Snakemake says of each job stands in
`.snakemake/log`, and what jobs print in their own logs. With ``--verbose``, in a dry run, and before a run has begun,
everything is shown as Snakemake does it.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake.common import NOTHING_TO_BE_DONE_MSG
from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

if TYPE_CHECKING:
    from modelferry.cli.run_display import RunDisplay

TOLD = ("At least one job did not complete", "Exiting because a job execution failed", "RuleException:")
"""In errors of Snakemake's that say again what was said of a job."""
ASKED_FOR = ("Terminating processes on user request", "Will exit after finishing currently running jobs")
AGAIN = "Trying to restart job"
BEFORE = ("Building DAG of jobs", "Assuming unrestricted shared filesystem", "Using shell:")
"""What Snakemake says at each start."""


CONTRADICTING = ("Some jobs were triggered by provenance information", "Rules with provenance triggered jobs")
"""Hints at the end of a dry run to let times of files decide."""


@dataclass
class ConsoleSettings(LogHandlerSettingsBase):
    """Options of the console: ``--logger-modelferry-jobs FILE``."""

    jobs: Path | None = field(
        default=None, metadata={"help": "File for the jobs of a dry run, a line of JSON each.", "type": Path}
    )


class Console(LogHandlerBase):
    """Shows what a person wants to know of a run."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Choose the stream, and whether everything is shown."""
        settings = self.common_settings
        self.stream = sys.stdout if settings.stdout else sys.stderr
        self.everything = bool(settings.verbose or settings.dryrun)
        self.plain = ColorizingTextHandler(nocolor=settings.nocolor, stream=self.stream)
        self.jobs: Path | None = getattr(self.settings, "jobs", None)
        self.run: RunDisplay | None = None
        self.started = False

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802 - logging's own name
        """Set how records are written that are shown as Snakemake does it."""
        super().setFormatter(fmt)
        self.plain.setFormatter(fmt)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or take note of it."""
        try:
            self._emit(record)
        except BrokenPipeError:
            raise
        except Exception:  # a mistake here must not end a run
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        event, said = getattr(record, "event", None), str(record.msg or "")
        if event == LogEvent.JOB_INFO and self.jobs:
            self._keep(record.__dict__, self.jobs)
        if self.everything:
            if self.common_settings.verbose or not said.startswith(CONTRADICTING):
                self.plain.emit(record)
        elif self.run is not None:
            self._follow(self.run, event, said, record)
        elif announced := getattr(record, "announced", None):
            from modelferry.cli.run_display import RunDisplay

            self.run = RunDisplay(announced, self.stream)
        elif said == NOTHING_TO_BE_DONE_MSG:
            self.plain.emit(record)
            from modelferry.cli.run_display import verdict

            self.stream.writelines(f"{line}\n" for line in verdict())
        elif event == LogEvent.WORKFLOW_STARTED:
            self.started = True
        elif not said.startswith(BEFORE) and not (self.started and _is_chatter(record)):
            self.plain.emit(record)

    def _keep(self, facts: dict[str, Any], path: Path) -> None:
        from modelferry.plan.nested import planned_job

        job = planned_job(facts["rule_name"], dict(facts["wildcards"]), facts["reason"])
        with path.open("a") as file:
            file.write(f"{job.model_dump_json()}\n")

    def _follow(self, run: RunDisplay, event: Any, said: str, record: logging.LogRecord) -> None:
        facts = record.__dict__
        if event == LogEvent.JOB_INFO:
            run.start(facts["jobid"])
        elif event == LogEvent.JOB_FINISHED:
            run.end(facts["job_id"])
        elif event == LogEvent.JOB_ERROR:
            run.fail(facts["jobid"], facts["rule_msg"] or "", facts["log"])
        elif said.startswith(AGAIN):
            run.again(said.removeprefix(AGAIN).strip(" ."))
        elif said.startswith(ASKED_FOR) or not (_is_chatter(record) or any(told in said for told in TOLD)):
            run.erase()
            self.plain.emit(record)

    def close(self) -> None:
        """Say how the run ended."""
        run, self.run = self.run, None
        if run is not None:
            with suppress(BrokenPipeError, ValueError):  # nobody reads any more
                run.close()
        super().close()


def _is_chatter(record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING
