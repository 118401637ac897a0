"""Models that are found by their checkpoints, in the workflow and by hand, and a Snakemake that another one starts."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chunk_samples import QUICK, save_byte_cnn
from modelferry.config.file import ENVIRONMENT_VARIABLE, handed_on, parse_config
from modelferry.core.environment import ISA
from modelferry.core.running import RUN
from modelferry.plan import start
from workflow_harness import Folder

FOUND = {"campaigns": {"f": {**QUICK, "axes": "found", "checkpoint": "weights/{channel}/fold-{fold}.pt"}}}


def test_workflow_and_commands_have_the_models_of_the_files(fresh: Callable[..., Folder]) -> None:
    folder = fresh(FOUND)
    for seed, name in enumerate(("Run3Mu/fold-10", "Run3Mu/fold-9", "Run1E2Mu/fold-0")):
        save_byte_cnn(folder.path / f"weights/{name}.pt", seed)
    wanted = ["f/Run1E2Mu/fold-0", "f/Run3Mu/fold-9", "f/Run3Mu/fold-10"]
    assert {job.model for job in folder.jobs() if job.stage == "export"} == set(wanted)
    listed = folder.modelferry("models").stdout.splitlines()
    assert [line.split()[0] for line in listed] == wanted
    done = folder.modelferry("reference", "--channel", "Run3Mu", "--fold", "9")
    assert done.returncode == 0, done.stderr
    assert [path.parent.name for path in folder.path.rglob("reference.npz")] == ["fold-9"]


def test_snakemake_started_for_jobs_keeps_to_what_the_first_one_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_byte_cnn(tmp_path / "weights/Run3Mu/fold-1.pt", 1)
    Path("handed.json").write_text(handed_on(FOUND, parse_config(FOUND)))
    save_byte_cnn(tmp_path / "weights/Run3Mu/fold-2.pt", 2)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "handed.json")
    monkeypatch.setenv("PATH", os.environ["PATH"])  # a start changes it

    def models(main: bool) -> list[str]:
        config = json.loads(json.dumps(FOUND))
        workflow: Any = SimpleNamespace(
            configfiles=[],
            modifier=SimpleNamespace(is_main_snakefile=lambda: True),
            modifier_stack=[SimpleNamespace(globals={"config": config})],
            is_main_process=main,
            subprocess_exec=True,
            output_settings=SimpleNamespace(dryrun=True, log_handler_settings={}),
            resource_settings=SimpleNamespace(overwrite_scatter={}),
        )
        plan, _ = start.begin(workflow, config)
        return list(plan.models)

    for name in (RUN, ISA):  # the one that leads a run sets them
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert models(main=False) == ["f/Run3Mu/fold-1"]
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "handed.json")
    assert models(main=True) == ["f/Run3Mu/fold-1", "f/Run3Mu/fold-2"]
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "handed.json")
    assert os.environ[RUN]  # so that a Snakemake that is a chunk of this run does not lead it
    assert models(main=True) == ["f/Run3Mu/fold-1"]
