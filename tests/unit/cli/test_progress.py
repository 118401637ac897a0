"""What of a run is done: models, failures, time left."""

from __future__ import annotations

import pytest

from modelferry.cli.progress import Progress, in_time
from modelferry.plan.announcement import Job


def of_models(*models: str, rules: tuple[str, ...] = ("export", "validate")) -> Progress:
    """Return the progress of a run with a job of each rule for each model, numbered in that order, and a report."""
    jobs = [Job(rule, f"{rule} {model}", {model: ()}) for model in models for rule in rules]
    return Progress(dict(enumerate([*jobs, Job("report", "report")])), begun=100.0)


def in_chunks() -> Progress:
    chunk = Job("chunk_models", "chunk models-1", {"a": ("a.json", "a.done"), "b": ("b.json",)})
    return Progress({0: chunk, 1: Job("chunk_benchmarks", "chunk benchmarks-1", {"a": ("a.timed",)})}, begun=0.0)


def test_model_is_done_when_its_last_job_is() -> None:
    progress = of_models("a", "b")
    progress.start(0, 100)
    progress.start(2, 100)
    assert (progress.models, progress.done, progress.running) == (2, 0, 2)
    assert progress.end(0, 101) == []
    assert progress.running == 1
    assert progress.end(1, 102) == ["a"]
    assert progress.done == 1
    assert progress.end(4, 103) == [], "the report is no model's"


def test_model_whose_job_failed_is_done_once_and_no_other_is() -> None:
    progress = of_models("a", "b")
    progress.start(0, 100)
    assert progress.fail(0) == ["a"]
    assert progress.fail(0) == []
    assert progress.end(1, 101) == []
    assert (progress.done, [*progress.open]) == (1, ["b"])


def test_jobs_that_nobody_announced_change_nothing() -> None:
    progress = of_models("a")
    progress.start(77, 100)
    assert progress.end(77, 101) == progress.fail(78) == []
    assert progress.done == 0
    assert progress.seconds_left(102) is not None


def test_model_of_a_chunk_is_done_when_all_its_files_are_made() -> None:
    progress = in_chunks()
    assert [*progress.awaited()] == [], "nothing is at work"
    progress.start(0, 0)
    assert [*progress.awaited()] == ["a.json", "a.done", "b.json"]
    assert progress.made(["a.json", "b.json"]) == ["b"]
    assert [*progress.awaited()] == ["a.json", "a.done"]
    assert progress.made(["a.json", "a.done", "b.json"]) == [], "its benchmark is in another chunk"
    progress.start(1, 5)
    assert progress.made([]) == []
    assert progress.end(1, 6) == ["a"]


def test_models_of_a_chunk_that_failed_stay_open_for_the_next_try() -> None:
    progress = in_chunks()
    progress.start(0, 0)
    assert progress.fail(0) == []
    progress.start(0, 9)
    assert progress.end(0, 12) == ["b"]


def test_time_left_is_that_of_the_same_rule_at_the_same_parallelism() -> None:
    progress = of_models("a", "b", "c", rules=("export",))
    assert progress.seconds_left(100) is None
    progress.start(0, 100)
    progress.start(1, 100)
    progress.end(0, 110)
    progress.end(1, 110)
    assert progress.seconds_left(110) == pytest.approx((10 + 10) / 2), "one export and a report of unknown length"
    progress.start(2, 110)
    assert progress.seconds_left(114) == pytest.approx((6 + 10) / (24 / 14))


def test_time_left_of_a_run_in_chunks_counts_models() -> None:
    progress = in_chunks()
    progress.start(0, 0)
    assert progress.seconds_left(30) is None
    progress.made(["b.json"])
    assert progress.seconds_left(30) == 30


@pytest.mark.parametrize(("seconds", "told"), [
    (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (250, "4 min 10 s"), (7500, "2 h 05 min"),
])  # fmt: skip
def test_times_are_told_as_people_say_them(seconds: float, told: str) -> None:
    assert in_time(seconds) == told
