"""What is shown of a run that is at work, and how it ended."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from modelferry.cli.job_log import last_error
from modelferry.cli.models import log_of
from modelferry.cli.progress import Progress, in_time
from modelferry.core import paths
from modelferry.core.errors import ArtifactError
from modelferry.plan import Plan
from modelferry.plan.announcement import Announced
from modelferry.records.summary import Summary

REDRAWN = 1.0
"""Seconds after which the line of progress of a terminal is drawn anew."""
FIRST, GROWTH, LONGEST = 15.0, 1.5, 600.0
"""Where there is no terminal, it is a line of its own after so many seconds, and then each time that so much more has
passed; the longest silence is ten minutes."""
LOOKED = 10.0
"""Seconds after which files are looked for that jobs elsewhere are to make."""
LISTED = 5
"""So many models that did not pass are named once more at the end."""


class RunDisplay:
    """A run that is at work, and what is shown of it."""

    def __init__(self, announced: Announced, stream: TextIO) -> None:
        self.plan, self.jobs, self.stream = announced.plan, announced.jobs, stream
        self.progress = Progress(announced.jobs, time.monotonic())
        self.whole = announced.whole
        self.failed = 0
        self.drawn = False
        self.silent_until = FIRST
        self.lock = threading.RLock()
        self.ended = threading.Event()
        self.before = {file: _state(file) for job in self.jobs.values() for of in job.models.values() for file in of}
        models = f" of {self.progress.models} models" if self.progress.models else ""
        self.line(f"{_count(len(self.jobs), 'job')}{models}")
        self.clock = threading.Thread(target=self._tick, name="console", daemon=True)
        self.clock.start()

    def start(self, number: int) -> None:
        """Note that a job has begun."""
        with self.lock:
            self.progress.start(number, time.monotonic())

    def end(self, number: int) -> None:
        """Note that a job has ended well, and tell of the models that are done."""
        with self.lock:
            self._tell(self.progress.end(number, time.monotonic()))

    def fail(self, number: int, reason: str, logs: list[str]) -> None:
        """Tell of a job that has failed, in one line."""
        with self.lock:
            name = self._name(number)
            said = " ".join(filter(None, [reason.strip().partition("\n")[0], last_error(logs[0]) if logs else ""]))
            logs = [log for log in logs if Path(log).is_file()]
            self.line(f"error: {name}: {said or 'ended without a message'}" + (f"; log: {logs[0]}" if logs else ""))
            self.failed += len(self.progress.fail(number))

    def again(self, number: str) -> None:
        """Tell that a job is tried again."""
        with self.lock:
            self.line(f"{self._name(int(number))} is tried again")

    def close(self) -> None:
        """Stop the clock, and write the summary."""
        self.ended.set()
        self.clock.join(timeout=5)
        with self.lock:
            self.erase()
            took = in_time(time.monotonic() - self.progress.begun)
            jobs = f"{len(self.progress.took)} of {_count(len(self.jobs), 'job')} done in {took}"
            left = _count(len(self.progress.open), "model")
            self.line(jobs + (f"; {left} not done, which the same command does" if self.progress.open else ""))
            for line in verdict() if self.whole else ():
                self.line(line)

    def line(self, text: str) -> None:
        """Write a line above that of the progress."""
        self.erase()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def erase(self) -> None:
        """Take the line of progress away."""
        if self.drawn:
            self.stream.write("\r\x1b[2K")
            self.drawn = False

    def _name(self, number: int) -> str:
        return self.jobs[number].name if number in self.jobs else f"job {number}"

    def _tell(self, models: list[str]) -> None:
        for model in models:
            line = outcome(self.plan, model, self.whole)
            self.failed += line.startswith("error: ")
            self.line(line)

    def _tick(self) -> None:
        looked = time.monotonic()
        while not self.ended.wait(REDRAWN):
            with self.lock, suppress(BrokenPipeError, ValueError):
                now = time.monotonic()
                if now - looked >= LOOKED:
                    looked = now
                    self._tell(self.progress.made(file for file in self.progress.awaited() if self._is_made(file)))
                self._show(now)

    def _is_made(self, file: str) -> bool:
        return _state(file) not in (None, self.before.get(file))

    def _show(self, now: float) -> None:
        elapsed = now - self.progress.begun
        if self.stream.isatty():
            self.erase()
            self.stream.write(self.status(now)[: shutil.get_terminal_size().columns - 1])
            self.stream.flush()
            self.drawn = True
        elif elapsed >= self.silent_until:
            self.line(self.status(now))
            self.silent_until = min(elapsed * GROWTH, elapsed + LONGEST)

    def status(self, now: float) -> str:
        """Return the line of progress."""
        progress = self.progress
        models = [
            f"{progress.done} of {_count(progress.models, 'model')} done",
            f"{progress.running} running",
            f"{self.failed} failed",
        ]
        jobs = f"{len(progress.took)} of {_count(len(self.jobs), 'job')}"
        left = progress.seconds_left(now)
        remaining = [] if left is None else [f"about {in_time(left)} left"]
        return ", ".join([*(models if progress.models else ()), jobs, *remaining])


def outcome(plan: Plan, model: str, whole: bool) -> str:
    """Return what became of a model, in one line: the first problem, if there are some, and the log that tells more.

    A run that is not `whole` does a part of the model's jobs: that others have not run is no problem.
    """
    from modelferry.stages.report.collect import Recorded  # its imports take half a second

    planned = plan.planned(model)
    recorded = Recorded.read(planned)
    if not (problems := list(dict.fromkeys(recorded.problems if whole else recorded.broken))):
        return f"{'passed' if whole else 'done'}: {model}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    log = log_of(planned)
    return f"error: {model}: {problems[0]}{more}" + (f"; log: {log}" if log else "")


def verdict() -> Iterator[str]:
    """Yield the lines that tell what the report says: the models that did not pass, and where it is."""
    try:
        summary = Summary.read(paths.SUMMARY)
    except ArtifactError:
        yield "there is no report yet"
        return
    short = [model for model in summary.models if model.status != "passed"]
    yield from (f"{model.status}: {model.id}" for model in short[:LISTED])
    if len(short) > LISTED:
        yield f"and {len(short) - LISTED} more, which the report names"
    unseen = [control.name for control in summary.controls if not control.detected]
    yield from (f"error: the validator did not detect this control: {name}" for name in unseen)
    passed = len(summary.models) - len(short)
    yield f"{paths.REPORT}: {summary.verdict}, {passed} of {len(summary.models)} models passed"


def _state(file: str) -> tuple[int, int] | None:
    try:
        facts = Path(file).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
