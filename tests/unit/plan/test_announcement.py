"""What the console is told of the jobs that Snakemake is about to run."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from modelferry.core import paths
from modelferry.plan import announcement, chunks
from modelferry.plan.announcement import Announced, Announcement, Job
from modelferry.records.chunks import Chunk, Chunks

PLAN = SimpleNamespace(listed={"a/0": None, "a/1": None})


def job(rule: str, *output: str, **wildcards: str) -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards_dict=wildcards, output=output)


def announced(*jobs: SimpleNamespace, plan: Any = PLAN, event: str = "run_info") -> Announced | None:
    """Return what a record of Snakemake's is given, where it is about to run these jobs."""
    dag = SimpleNamespace(needrun_jobs=lambda exclude_finished: iter(jobs), jobid=jobs.index)
    told = Announcement(SimpleNamespace(dag=dag))
    told.plan = plan
    record = logging.LogRecord("snakemake.logging", logging.INFO, "", 0, "Job stats", (), None)
    record.event = event
    assert told.filter(record)
    return getattr(record, "announced", None)


def test_jobs_are_told_with_their_models() -> None:
    found = announced(
        job("validate", "x.json", model="a/0"),
        job("template_x", architecture="123", variant="x-1"),
        job("theirs", run="7", model="of another workflow"),
        job("mf_report", paths.REPORT),
    )
    assert found is not None
    assert found.jobs == {
        0: Job("validate", "validate a/0", {"a/0": ()}),
        1: Job("template_x", "template_x 123 x-1"),
        2: Job("theirs", "theirs 7 of another workflow"),
        3: Job("mf_report", "mf_report"),
    }
    assert found.whole


def test_run_without_the_report_is_not_whole() -> None:
    found = announced(job("export", "x.json", model="a/0"))
    assert found is not None
    assert not found.whole


def test_jobs_of_chunks_are_told_with_the_files_of_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Chunk(units=2, files=("a0.json", "shared.json", "a1.json", "a0.done"), after=())
    plan = Chunks(isa="avx2", lacking={}, chunks={"models-2": made, "report-1": Chunk(units=1, files=(), after=())})
    monkeypatch.setattr(chunks, "plan_of_run", {"now": plan}.__getitem__)
    owners = {"a0.json": "a/0", "a0.done": "a/0", "a1.json": "a/1"}
    monkeypatch.setattr(announcement.chunks, "owners", lambda plan: owners.items())
    found = announced(job("chunk_models", run="now", number="2"), job("chunk_report", run="now", number="1"))
    assert found is not None
    models = {"a/0": ("a0.json", "a0.done"), "a/1": ("a1.json",)}
    assert found.jobs[0] == Job("chunk_models", "chunk models-2", models)
    assert found.whole


@pytest.mark.parametrize(("plan", "event"), [(None, "run_info"), (PLAN, "progress")])
def test_other_records_pass_as_they_are(plan: Any, event: str) -> None:
    assert announced(job("export", model="a/0"), plan=plan, event=event) is None
