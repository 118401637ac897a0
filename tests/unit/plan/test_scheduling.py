"""How often Snakemake looks for jobs."""

import threading
import time
from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobScheduler

from modelferry.plan.scheduling import look_again_once

DELAY = 0.2


@pytest.fixture(autouse=True)
def _afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)


def looks(rounds: int) -> int:
    """Return how often a scheduler looks for jobs after so many have ended, in the time of a timer and a half."""
    scheduler = SimpleNamespace(_open_jobs=threading.Semaphore(0))
    for _ in range(rounds):
        JobScheduler._schedule_reevalutation(scheduler, DELAY)
    time.sleep(1.5 * DELAY)
    return sum(scheduler._open_jobs.acquire(blocking=False) for _ in range(2 * rounds))


def test_jobs_that_end_make_the_scheduler_look_once_and_not_once_each() -> None:
    assert looks(20) == 20, "Snakemake has mended it: remove the remedy"
    look_again_once()
    assert looks(20) == 1
    assert looks(20) == 1, "a timer that has fired makes room for the next"
