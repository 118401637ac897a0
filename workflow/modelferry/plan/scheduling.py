"""A remedy for Snakemake's scheduler, which looks for jobs all the time once some hundred are done."""

from __future__ import annotations

import threading
from typing import Any


def look_again_once() -> None:
    """Let the scheduler have one timer at a time that makes it look again.

    With a limit of jobs a second, which is its default, version 9.27 starts a timer after each look, and each timer
    makes it look: every job that ends adds one more look a second, for the rest of the run.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    timers: list[threading.Timer] = []

    def look_again(self: Any, delay: float) -> None:
        if not any(timer.is_alive() for timer in timers):
            timers[:] = [threading.Timer(delay, self._open_jobs.release)]
            timers[0].start()

    JobScheduler._schedule_reevalutation = look_again
