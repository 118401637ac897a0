"""The state of models, and why a run would do something for one, given what Snakemake would do."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoint_samples import save_checkpoint
from cli_samples import FOUR, THREE
from modelferry.cli import models
from modelferry.cli.job_log import is_at_work, last_error, logged
from modelferry.cli.main import main
from modelferry.core import paths
from modelferry.core.errors import ModelferryError
from modelferry.core.running import RUN
from modelferry.plan.leftovers import FAILED
from modelferry.plan.nested import PlannedJob, would_run
from modelferry.plan.start import LOCK

Listed = Callable[..., dict[str, tuple[str, str]]]


def job(rule: str, reason: str, **wildcards: str) -> PlannedJob:
    return PlannedJob(rule=rule, wildcards=wildcards, reason=reason)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Listed:
    """List the models of the folder, where a run would do some jobs: state and reason by id."""

    def ask(*jobs: PlannedJob) -> dict[str, tuple[str, str]]:
        monkeypatch.setattr(models, "would_run", lambda config: [*jobs])
        assert main(["models", "--json"]) == 0
        return {one["id"]: (one["state"], one["reason"]) for one in json.loads(capsys.readouterr().out)}

    return ask


def test_model_without_records_is_not_run_and_one_without_a_checkpoint_missing(folder: Path, listed: Listed) -> None:
    save_checkpoint(folder / "weights/Run3Mu-3.pt", 16)
    found = listed(job("export", "Missing output files: x", model=THREE))
    assert found[THREE] == ("not run", "")
    assert found[FOUR][0] == "missing"


def test_model_that_a_run_would_do_again_is_stale_with_the_first_cause(done: Path, listed: Listed) -> None:
    jobs = [
        job("export", f"weights: weights/Run3Mu-3.pt; results/x {FAILED}", model=THREE),
        job("validate", "Input files updated by another job: results/x", model=THREE),
        job("report", "Missing output files: y"),
    ]
    assert listed(*jobs)[THREE] == ("stale", "weights: weights/Run3Mu-3.pt")


def test_failed_model_is_tried_again_and_stays_failed_until_something_changes(done: Path, listed: Listed) -> None:
    (done / "weights/Run3Mu-3.pt").write_bytes(b"no checkpoint")
    assert main(["export", "--fold", "3"]) == 1
    again = job("export", f"results/x {FAILED}", model=THREE)
    state, reason = listed(again)[THREE]
    assert state == "failed"
    assert "is not a checkpoint" in reason
    assert listed(again, job("benchmark", "config: batches 1 → 2", model=THREE))[THREE][0] == "stale"


def test_model_is_running_while_a_run_and_one_of_its_jobs_are_at_work(
    done: Path, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(LOCK).parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(LOCK, os.O_RDWR | os.O_CREAT)
    Path(paths.CURRENT_RUN).write_text("now")
    monkeypatch.setenv(RUN, "now")
    log = f"logs/benchmark/{THREE}.log"
    with logged(log, ["benchmark"]):
        monkeypatch.delenv(RUN)
        assert listed()[THREE][0] == "stale", "no run is at work"
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert {name: state for name, (state, _) in listed().items()} == {THREE: "running", FOUR: "stale"}
    assert listed()[THREE][0] == "stale"
    os.close(handle)


def test_why_names_the_jobs_of_a_model_with_those_that_it_shares(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    architecture, variant = next((done / "results/templates").glob("*/*")).parts[-2:]
    jobs = [
        job("template", "code: formats/x.py", architecture=architecture, variant=variant),
        job("template", "code: formats/y.py", architecture=architecture, variant="other"),
        job("weight_sets", "code: families/z.py", architecture=architecture),
        job("export", "weights: weights/Run3Mu-3.pt", model=THREE),
        job("export", "weights: weights/Run3Mu-4.pt", model=FOUR),
        job("gate", "Missing output files: reports/gate.passed"),
    ]
    monkeypatch.setattr(models, "would_run", lambda config: jobs)
    assert main(["why", THREE]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"template {architecture} {variant}: code: formats/x.py",
        f"weight_sets {architecture}: code: families/z.py",
        "export: weights: weights/Run3Mu-3.pt",
    ]
    assert main(["why", FOUR, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["model"], facts["problem"], len(facts["jobs"])) == (FOUR, "", 3)
    monkeypatch.setattr(models, "would_run", lambda config: [])
    assert main(["why", THREE]) == 0
    assert capsys.readouterr().out == "nothing would run: everything is up to date\n"


def test_why_of_a_model_without_a_checkpoint_is_that(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", THREE]) == 0
    assert capsys.readouterr().out.startswith("nothing can run: no checkpoint at weights/Run3Mu-3.pt")


def test_why_of_a_misspelt_model_names_the_nearest(folder: Path, fails: Callable[..., str]) -> None:
    assert f"did you mean '{THREE}'?" in fails("why", THREE.replace("Run3", "Run33"))


def test_without_a_workflow_the_states_are_told_all_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelferryError, match="there is no Snakefile"):
        would_run()
    assert main(["models"]) == 0
    told = capsys.readouterr()
    assert told.out.count("missing") == 2
    assert told.err.startswith("note: which models are stale is not known: there is no Snakefile")


def test_log_tells_whether_its_job_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN, "now")
    log = str(tmp_path / "x.log")
    before = time.time() - 1
    assert not is_at_work(log, before)
    for _ in range(2):
        with logged(log, ["export"]):
            assert is_at_work(log, before)
            assert not is_at_work(log, time.time() + 60), "that was another run"
        assert not is_at_work(log, before)
    assert last_error(log) == last_error("not there") == ""
