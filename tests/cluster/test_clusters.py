"""Six small models on a real cluster of one machine: how many jobs, what a failure costs, and what a kill breaks."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunk_samples import byte_cnns, save_byte_cnn
from clusters import CLUSTERS, HTCondor, Run, Slurm
from workflow_harness import ROOT, Folder

MODELS = 6
Cluster = Slurm | HTCondor


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = CLUSTERS[os.environ["MODELFERRY_TEST_CLUSTER"]](tmp_path_factory.mktemp("cluster"))
    with made.running():
        yield made


@pytest.fixture(scope="session")
def finished(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, int]:
    """A run that has finished on the cluster, and how many jobs it took."""
    folder = Folder.fresh(tmp_path_factory.mktemp("finished") / "workflow", byte_cnns(MODELS))
    for number in range(MODELS):
        save_byte_cnn(folder.path / f"weights/fold-{number}.pth", number)
    run = Run.started(cluster, folder)
    assert run.code() == 0, run.console[-4000:]
    return folder, cluster.ended()


@pytest.fixture
def done(finished: tuple[Folder, int], tmp_path: Path) -> Folder:
    return finished[0].copy(tmp_path / "done")


def change(folder: Folder, *models: int) -> None:
    for number in models:
        save_byte_cnn(folder.path / f"weights/fold-{number}.pth", 100 + number)


def states(folder: Folder) -> dict[str, str]:
    summary = json.loads((folder.path / "reports/summary.json").read_text())
    return {model["id"]: model["status"] for model in summary["models"]}


PASSED = {f"edge/fold-{number}": "passed" for number in range(MODELS)}


def test_six_models_are_five_cluster_jobs(finished: tuple[Folder, int]) -> None:
    folder, jobs = finished
    assert jobs == 5, "what models share, the models in two chunks, benchmarks, report"
    assert states(folder) == PASSED
    assert folder.would_run() == set()


def test_records_equal_those_of_a_local_run_but_for_timings(finished: tuple[Folder, int], tmp_path: Path) -> None:
    local = Folder.fresh(tmp_path / "local", byte_cnns(MODELS))
    shutil.copytree(finished[0].path / "weights", local.path / "weights")
    local.run()
    script = ROOT / "bench/compare_records.py"
    done = subprocess.run(
        [sys.executable, script, local.path, finished[0].path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_one_changed_checkpoint_is_three_cluster_jobs(cluster: Cluster, done: Folder) -> None:
    change(done, 2)
    before = cluster.ended()
    run = Run.started(cluster, done)
    assert run.code() == 0, run.console[-4000:]
    assert cluster.ended() - before == 3
    assert states(done) == PASSED
    assert done.would_run() == set()


def test_a_failing_model_fails_alone(cluster: Cluster, done: Folder) -> None:
    change(done, 3)
    (done.path / "weights/fold-2.pth").write_bytes(b"no checkpoint")
    assert Run.started(cluster, done).code() == 1
    assert states(done) == {**PASSED, "edge/fold-2": "failed"}


def test_a_cancelled_job_is_tried_again(cluster: Cluster, done: Folder) -> None:
    change(done, 2, 3)
    run = Run.started(cluster, done)
    cluster.cancel(run.job("chunk_models"))
    assert run.code() == 0, run.console[-4000:]
    assert "is tried again" in run.console
    assert states(done) == PASSED


def test_after_a_kill_the_same_command_completes(cluster: Cluster, done: Folder) -> None:
    change(done, 2, 3)
    killed = Run.started(cluster, done)
    killed.job("chunk_models")
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    run = Run.started(cluster, done)
    assert run.code() == 0, run.console[-4000:]
    assert states(done) == PASSED
    assert done.would_run() == set()


def test_a_held_job_is_reported_within_a_minute_with_its_reason(cluster: Cluster, done: Folder) -> None:
    if not isinstance(cluster, HTCondor):
        pytest.skip("only HTCondor holds jobs that run")
    change(done, 2)
    run = Run.started(cluster, done)
    cluster.hold(run.job("chunk_models"), "held on purpose")
    assert run.until(lambda: "Hold reason: held on purpose" in run.console, 60) < 60
    assert run.code() == 0, "it is tried again"
    assert states(done) == PASSED
