"""Killed at any moment and started again with the same command: completes, no broken file counted as done."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import jsonschema
import pytest

from modelferry.cli.schemas import all_schemas
from modelferry.core.digests import sha256_of_file
from modelferry.records.benchmark import Benchmark
from modelferry.records.export import Manifest, Template
from modelferry.records.summary import Summary
from modelferry.records.validation import Validation
from workflow_harness import END, Folder, of_model

MODEL = "beta/MHc100"
KINDS = {
    "summary.json": Summary,
    "manifest.json": Manifest,
    "template.json": Template,
    "validation.python.json": Validation,
    "benchmark.python.json": Benchmark,
}


def check_all_records(folder: Path) -> int:
    """Every record is whole, fits its schema, and describes the file beside it."""
    schemas = {name: json.loads(text) for name, text in all_schemas().items()}
    files = [path for top in ("results", "reports") for path in (folder / top).rglob("*.json")]
    for path in files:
        if path.name in KINDS:
            kind = KINDS[path.name]
            kind.read(path)
            jsonschema.validate(json.loads(path.read_text()), schemas[f"{kind.__name__.lower()}.schema.json"])
    for path in (folder / "results").rglob("manifest.json"):
        manifest = Manifest.read(path)
        assert sha256_of_file(folder / manifest.artifact.path) == manifest.artifact.sha256
        assert sha256_of_file(folder / manifest.checkpoint.path) == manifest.checkpoint.sha256
    return len(files)


@pytest.mark.parametrize("whole_group", [True, False], ids=["process group", "snakemake alone"])
def test_killed_run_is_completed_by_the_same_command(whole_group: bool, done: Folder) -> None:
    shutil.rmtree(done.path / f"results/{MODEL}")
    shutil.rmtree(done.path / "results/templates")
    shutil.rmtree(done.path / "reports")
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    for _ in range(3):
        delay = moments.uniform(0.5, 6.0)
        run = done.start("--cores", "2")
        time.sleep(delay)
        if run.poll() is None:
            (os.killpg if whole_group else os.kill)(run.pid, signal.SIGKILL)
        if not whole_group:
            run.wait()
            time.sleep(moments.uniform(0.0, 1.0))  # its jobs are still at work when the next run starts
        else:
            run.communicate()
    last = done.snakemake("--cores", "2")
    assert last.returncode == 0, f"seed {seed}: {last.stderr[-3000:]}"
    summary = Summary.read(done.path / "reports/summary.json")
    assert summary.verdict == "passed", f"seed {seed}"
    assert check_all_records(done.path) >= 12
    time.sleep(2 if not whole_group else 0)
    assert not list((done.path / "results").rglob("*.part")), f"seed {seed}"
    assert done.jobs() == [], f"seed {seed}"


def test_killed_job_counts_as_not_done(done: Folder) -> None:
    artifact = done.path / f"results/{MODEL}/python/model.py"
    artifact.unlink()
    run = done.start("--cores", "2")
    while run.poll() is None and not list(artifact.parent.glob(".*.part")) and not artifact.exists():
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    done.run()
    assert done.ran() >= of_model(MODEL, "export", "validate") | END
    check_all_records(done.path)
