"""What of a run is done, and how long the rest will take: plain values, told by `cli.console`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from modelferry.plan.announcement import Job

Files = Mapping[str, tuple[str, ...]]


@dataclass
class Progress:
    """The jobs of a run by Snakemake's number, and what became of them; times are seconds on one clock.

    A model is done when no job of it is left, or when one of its jobs has failed so that others cannot run.
    """

    jobs: Mapping[int, Job]
    begun: float
    at_work: dict[int, float] = field(default_factory=dict)
    """When each job began that has not ended."""
    took: dict[int, float] = field(default_factory=dict)
    """How long each job took that has ended."""
    open: dict[str, set[int]] = field(default_factory=dict)
    """The jobs that are left of each model that is not done."""

    def __post_init__(self) -> None:
        for number, job in self.jobs.items():
            for model in job.models:
                self.open.setdefault(model, set()).add(number)
        self.models = len(self.open)

    @property
    def done(self) -> int:
        """How many models are done."""
        return self.models - len(self.open)

    @property
    def running(self) -> int:
        """How many models a job is at work for."""
        return len({model for number in self.at_work for model in self._models(number)} & self.open.keys())

    def start(self, number: int, now: float) -> None:
        """Note that a job has begun, perhaps not for the first time."""
        self.at_work[number] = now

    def end(self, number: int, now: float) -> list[str]:
        """Note that a job has ended well; return the models that are done with it."""
        self.took[number] = now - self.at_work.pop(number, now)
        return list(self._close(number, self._models(number)))

    def fail(self, number: int) -> list[str]:
        """Note that a job has failed; return the models whose other jobs cannot run.

        One that makes files of many models may be tried again: its models stay open.
        """
        self.at_work.pop(number, None)
        models = [model for model, files in self._models(number).items() if not files and model in self.open]
        for model in models:
            del self.open[model]
        return models

    def made(self, files: Iterable[str]) -> list[str]:
        """Note what jobs that make files of many models have made so far; return the models that are done with it."""
        made = {*files}
        return [
            model
            for number in [*self.at_work]
            for model in self._close(number, [m for m, f in self._models(number).items() if f and made.issuperset(f)])
        ]

    def awaited(self) -> Iterator[str]:
        """Yield the files of models that jobs at work are to make, as far as they are known."""
        for number in self.at_work:
            for model, files in self._models(number).items():
                if number in self.open.get(model, ()):
                    yield from files

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest will take, as far as what has ended tells; None while nothing has.

        A job takes as long as others of its rule, and as many are at work at a time as were so far. Where a job is
        about many models, they are counted instead.
        """
        elapsed = now - self.begun
        if any(files for job in self.jobs.values() for files in job.models.values()):
            return elapsed / self.done * len(self.open) if self.done else None
        if not self.took:
            return None
        of_rule: dict[str, list[float]] = {}
        for number in self.took.keys() & self.jobs.keys():
            of_rule.setdefault(self.jobs[number].rule, []).append(self.took[number])
        typical = {rule: sum(times) / len(times) for rule, times in of_rule.items()}
        other = sum(self.took.values()) / len(self.took)
        spent = {number: now - begun for number, begun in self.at_work.items()}
        left = [
            max(0.0, typical.get(job.rule, other) - spent.get(number, 0.0))
            for number, job in self.jobs.items()
            if number not in self.took
        ]
        busy = (sum(self.took.values()) + sum(spent.values())) / elapsed if elapsed > 0 else 1.0
        return sum(left) / max(busy, 1.0)

    def _models(self, number: int) -> Files:
        return self.jobs[number].models if number in self.jobs else {}

    def _close(self, number: int, models: Iterable[str]) -> Iterator[str]:
        for model in models:
            left = self.open.get(model)
            if left is not None:
                left.discard(number)
                if not left:
                    del self.open[model]
                    yield model


def in_time(seconds: float) -> str:
    """Return a time as people say it: ``12 s``, ``4 min 10 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
