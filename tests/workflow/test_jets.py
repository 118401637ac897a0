"""Embeddings in the workflow: a job for each file, tables, exploration; what changed runs again, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from made_once import made_once
from modelferry.demo import jet_toys
from modelferry.families import load_family
from workflow_harness import END, Folder

MODEL = "jets/fold-0"
NETWORK = {
    "pair_activation": True, "embed": [8, 8], "pair_embed": [4], "heads": 2, "layers": 1, "class_layers": 1,
    "hidden": 8,
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "campaigns": {
        "jets": {
            "family": "particle_transformer",
            "axes": {"fold": [0]},
            "checkpoint": "net.pt",
            "hyperparameters": {"pair_activation": True},
            "formats": ["onnx"],
            "validation": {"events": 40},
            "benchmark": {"seconds": 0.01, "batches": [1], "sizes": [20]},
            "embed": {"files": "jets/*"},
            "explore": {"jets": 30, "drawn": 10},
        }
    }
}
EXPLORATION = "results/jets/exploration.json"
AFTER = {f"collect {MODEL}", "explore jets"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A model with random weights, all but its benchmark and the report made. Never to be changed."""

    def make(root: Path) -> None:
        made = Folder.fresh(root / "workflow", CONFIG)
        family = load_family("particle_transformer")
        torch.manual_seed(2)
        torch.save(family.reference(family.resolve(NETWORK, {})).state_dict(), made.path / "net.pt")
        for name, seed in (("a.parquet", 1), ("b.root", 2)):
            jet_toys.write(made.path / "jets" / name, jet_toys.mixed(300, seed))
        made.run(EXPLORATION)

    return Folder(made_once(tmp_path_factory, "jets", make) / "workflow")


@pytest.fixture
def done(folder: Folder, tmp_path: Path) -> Folder:
    return folder.copy(tmp_path / "copy")


def would_run(folder: Folder) -> set[str]:
    """Return the jobs about embeddings that would run now; files have no name in `Job`, so these are counted."""
    jobs = folder.jobs(EXPLORATION)
    embed = [job for job in jobs if job.rule == "embed"]
    named = {f"{job.stage} {job.model or 'jets'}" for job in jobs if job.rule != "embed"}
    return named | ({f"embed {len(embed)}"} if embed else set())


def record(folder: Folder, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder.path / name).read_text())
    return found


def test_all_jets_are_in_tables_and_were_looked_at(folder: Folder) -> None:
    tables = record(folder, f"results/{MODEL}/embeddings/embeddings.json")
    assert (tables["jets"], tables["kept"], tables["validated"]) == (600, 600, True)
    assert {table["name"]: table["rows"] for table in tables["tables"]} == dict.fromkeys(jet_toys.CLASSES, 60)
    found = record(folder, EXPLORATION)
    assert (found["jets"], len(found["models"])) == (300, 1)
    assert would_run(folder) == set()


def test_one_more_file_is_the_only_one_that_is_embedded(done: Folder) -> None:
    jet_toys.write(done.path / "jets/c.parquet", jet_toys.mixed(100, 3))
    assert would_run(done) == {"embed 1", *AFTER}


def test_a_changed_file_is_embedded_again_and_a_touched_one_is_not(done: Folder) -> None:
    (done.path / "jets/b.root").touch()
    assert would_run(done) == set()
    jet_toys.write(done.path / "jets/b.root", jet_toys.mixed(300, 9))
    assert would_run(done) == {"embed 1", *AFTER}


def test_no_shell_reads_the_name_of_a_file(done: Folder) -> None:
    for name in ("b$(touch PWNED).root", "c'; touch PWNED; '.root", "-d;`touch PWNED` &.root"):
        jet_toys.write(done.path / "jets" / name, jet_toys.mixed(20, 4))
    done.run(f"results/{MODEL}/embeddings/embeddings.json")
    assert record(done, f"results/{MODEL}/embeddings/embeddings.json")["jets"] == 660
    assert not list(done.path.rglob("PWNED*"))


@pytest.mark.parametrize(("section", "value", "expected"), [
    ("explore", {"jets": 25, "drawn": 10}, {"explore jets"}),
    ("embed", {"files": "jets/*", "classes": ["Hbb"]}, {"explore jets"}),
    ("embed", {"files": "jets/*", "batch": 5}, {"embed 2", *AFTER}),
    ("validation", {"events": 40, "rtol": 2e-5}, set()),
])  # fmt: skip
def test_a_setting_runs_again_what_reads_it(done: Folder, section: str, value: Any, expected: set[str]) -> None:
    config = done.config
    config["campaigns"]["jets"][section] = value
    done.configure(config)
    validations = {f"validate {MODEL}"} if section == "validation" else set()
    assert would_run(done) - validations == expected


@pytest.mark.parametrize(("module", "expected"), [
    ("stages/embeddings/metrics.py", {"explore jets"}),
    ("stages/embeddings/tables.py", AFTER),
    ("stages/embeddings/inference.py", {"embed 2", *AFTER}),
])  # fmt: skip
def test_changed_code_runs_its_stage_again(done: Folder, module: str, expected: set[str]) -> None:
    done.edit(module)
    assert would_run(done) == expected


def test_the_commands_by_hand_resume_and_say_what_they_did(done: Folder) -> None:
    lost = done.path / f"results/{MODEL}/embeddings/parts/b.parquet"
    lost.unlink()
    again = done.modelferry("embed", "--model", MODEL)
    assert again.returncode == 0, again.stderr
    assert "jets/a.parquet: 300 jets read, 300 kept; already done" in again.stdout
    assert "jets/s" in next(line for line in again.stdout.splitlines() if line.startswith("jets/b.root"))
    assert lost.is_file()
    explored = done.modelferry("explore", "jets")
    assert explored.returncode == 0, explored.stderr
    assert "mean AUC of a linear probe" in explored.stdout
    for arguments, said in (
        (("embed", "--model", MODEL, "--part", "x"), "no file of jets 'x'"),
        (("explore", "jetz"), "campaign 'jetz' has no `explore`; did you mean 'jets'?"),
    ):
        refused = done.modelferry(*arguments)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert said in refused.stderr


def test_report_and_targets_ask_for_embeddings(folder: Folder) -> None:
    jobs = {job.stage for job in folder.jobs()}
    assert {"report", "gate", "benchmark"} <= jobs
    assert not {"embed", "collect", "explore"} & jobs
    assert jobs | END > END
