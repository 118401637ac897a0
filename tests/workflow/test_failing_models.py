"""One run with models that fail in different ways: what it leaves, and what runs after the repair."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from checkpoint_samples import formula_state, save_checkpoint
from chunk_samples import save_byte_cnn
from made_once import made_once
from modelferry.records.export import Manifest
from modelferry.records.summary import Summary
from modelferry.records.validation import Validation
from workflow_harness import END, HIGGS, Folder, of_model

GOOD, MISSING, GARBAGE, EVIL = (f"alpha/Run3Mu/fold-{fold}" for fold in (2, 3, 4, 5))
WRONG = "gamma/a"
OLD = ("alpha/Run3Mu/fold-0", "alpha/Run3Mu/fold-1", "beta/MHc100")

PROGRESS = re.compile(r"\d+ of \d+ models done, \d+ running, \d+ failed, \d+ of \d+ jobs(, about .* left)?")

FAMILY = '''
"""A family of the user's own whose deployable reverses the edges: it must be found out."""

from modelferry.families.charged_higgs_particlenet.family import ChargedHiggsParticleNet
from modelferry.families.charged_higgs_particlenet.flat import FlatParticleNet


class Reversed(FlatParticleNet):
    def forward(self, x, edge_index, graph_input, batch):
        return super().forward(x, edge_index.flip(0), graph_input, batch)


class MyFamily(ChargedHiggsParticleNet):
    name = "mine"

    def deployable(self, hyperparameters, layout, transforms=frozenset()):
        return Reversed(hyperparameters["hidden"], transforms)
'''


@dataclass(frozen=True)
class Failed:
    folder: Folder
    code: int
    printed: str

    @property
    def summary(self) -> Summary:
        return Summary.read(self.folder.path / "reports/summary.json")

    @property
    def page(self) -> str:
        return (self.folder.path / "reports/summary.md").read_text()


@pytest.fixture(scope="session")
def failed(finished: Folder, tmp_path_factory: pytest.TempPathFactory) -> Failed:
    def make(root: Path) -> None:
        folder = finished.copy(root / "workflow")
        config = folder.config
        config["campaigns"]["alpha"]["axes"]["fold"] = [0, 1, 2, 3, 4, 5]
        gamma = {**HIGGS, "family": "my_taggers:MyFamily", "axes": {"name": ["a"]}, "checkpoint": "weights/{name}.pt"}
        config["campaigns"]["gamma"] = gamma
        folder.configure(config)
        (folder.path / "my_taggers.py").write_text(FAMILY)
        weights = folder.path / "weights"
        save_byte_cnn(weights / "Run3Mu-2.pt", 3)
        (weights / "Run3Mu-4.pt").write_bytes(b"this is not a checkpoint\n" * 99)
        torch.save({"state_dict": formula_state(16), "hook": os.system}, weights / "Run3Mu-5.pt")
        save_checkpoint(weights / "a.pt", 16, salt="a")
        run = folder.snakemake("--cores", "2")
        (root / "run.json").write_text(json.dumps([run.returncode, run.stdout + run.stderr]))

    root = made_once(tmp_path_factory, "failed", make)
    return Failed(Folder(root / "workflow"), *json.loads((root / "run.json").read_text()))


def test_run_with_failing_models_exits_with_an_error(failed: Failed) -> None:
    assert failed.code != 0
    assert not (failed.folder.path / "reports/gate.passed").exists()


def test_other_models_complete(failed: Failed) -> None:
    status = {model.id: model.status for model in failed.summary.models}
    assert {name for name, value in status.items() if value == "passed"} == {*OLD, GOOD}
    folder = failed.folder.path / f"results/{GOOD}/python"
    assert Validation.read(folder / "validation.python.json").status == "passed"
    assert (folder / "benchmark.python.json").is_file()


def test_report_is_written_with_each_model_and_its_state(failed: Failed) -> None:
    summary = failed.summary
    assert summary.verdict == "failed"
    status = {model.id: model.status for model in summary.models}
    assert status[MISSING] == "missing"
    assert status[GARBAGE] == status[EVIL] == status[WRONG] == "failed"
    assert len(status) == 8


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (MISSING, ["no checkpoint at weights/Run3Mu-3.pt"]),
        (GARBAGE, ["weights/Run3Mu-4.pt is not a checkpoint"]),
        (EVIL, ["weights/Run3Mu-5.pt is refused", "system"]),
        (WRONG, ["events differ from the reference by up to", "the network with this mistake: edges reversed"]),
    ],
)
def test_reason_stands_in_the_summary_and_on_the_first_page(failed: Failed, model: str, parts: list[str]) -> None:
    reason = next(entry.reason for entry in failed.summary.models if entry.id == model)
    first = failed.page.partition("## What failed, and why")[2].partition("\n## ")[0]
    for part in parts:
        assert part in reason
        assert part in first.replace("\\", "").replace("`", "")
    assert model in first


def test_printed_errors_name_the_model_and_the_log_that_has_the_traceback(failed: Failed) -> None:
    errors = [line for line in failed.printed.splitlines() if line.startswith("error: ")]
    for model in (GARBAGE, EVIL):
        (error,) = (line for line in errors if line.startswith(f"error: {model}: "))
        log = error.rpartition("; log: ")[2]
        assert "Traceback" in (failed.folder.path / log).read_text()
    assert "Traceback" not in failed.printed


def test_console_has_a_line_for_each_model_and_few_others(failed: Failed) -> None:
    lines = [line for line in failed.printed.splitlines() if not PROGRESS.fullmatch(line)]
    assert sorted(line for line in lines if line.startswith("passed: ")) == [f"passed: {GOOD}"]
    assert [line for line in lines if line.startswith(("missing: ", "failed: "))] == [
        f"missing: {MISSING}", f"failed: {GARBAGE}", f"failed: {EVIL}", f"failed: {WRONG}",
    ]  # fmt: skip
    assert lines[-1] == "reports/summary.md: failed, 4 of 8 models passed"
    assert len(lines) == 13, failed.printed


def test_family_of_ones_own_runs_and_its_wrong_deployable_fails(failed: Failed) -> None:
    folder = failed.folder.path / f"results/{WRONG}/torchscript"
    record = Validation.read(folder / "validation.pytorch.json")
    assert Manifest.read(folder / "manifest.json").family == "my_taggers:MyFamily"
    assert record.status == "failed"
    assert record.max_abs_diff > 1e-3
    assert record.deployable_max_abs_diff == 0  # the artifact is the deployable; it is the deployable that is wrong
    assert record.error_ratio_float64 > 100


def test_failed_models_leave_no_artifact_and_no_file_in_the_making(failed: Failed) -> None:
    for model in (MISSING, GARBAGE, EVIL):
        assert not list((failed.folder.path / "results").glob(f"{model}/**/model.p*"))
    assert not list((failed.folder.path / "results").rglob("*.part"))


def test_nothing_of_the_good_models_would_run_again(failed: Failed, tmp_path: Path) -> None:
    copy = failed.folder.copy(tmp_path / "copy")
    assert copy.would_run() == {
        *of_model(GARBAGE), *of_model(EVIL), *END,
    }  # fmt: skip


def test_code_of_ones_own_family_re_runs_its_models_only(failed: Failed, tmp_path: Path) -> None:
    copy = failed.folder.copy(tmp_path / "copy")
    before = copy.would_run()
    (copy.path / "my_taggers.py").write_text(FAMILY.replace(".flip(0)", ""))
    assert copy.would_run() - before == {*of_model(WRONG), "template"}


def test_upgrading_the_library_of_the_reference_leaves_artifacts_and_templates_alone(
    failed: Failed, tmp_path: Path
) -> None:
    copy = failed.folder.copy(tmp_path / "copy")
    before = copy.would_run()
    upgraded = copy.would_run(PYTHONPATH=copy.upgrade("torch_geometric"))
    assert upgraded - before == of_model(WRONG, "validate", "benchmark")


def test_after_the_repair_only_that_model_runs_and_the_run_passes(failed: Failed, tmp_path: Path) -> None:
    copy = failed.folder.copy(tmp_path / "copy")
    config = copy.config
    del config["campaigns"]["gamma"]
    config["campaigns"]["alpha"]["axes"]["fold"] = [0, 1, 2, 4]
    copy.configure(config)
    save_byte_cnn(copy.path / "weights/Run3Mu-4.pt", 4)
    copy.run()
    assert copy.ran() == of_model(GARBAGE) | END
    summary = Summary.read(copy.path / "reports/summary.json")
    assert summary.verdict == "passed"
    assert {model.id: model.reason for model in summary.models} == dict.fromkeys([*OLD, GOOD, GARBAGE], "")
    assert copy.jobs() == []


def test_found_checkpoint_runs_that_model_only(failed: Failed, tmp_path: Path) -> None:
    copy = failed.folder.copy(tmp_path / "copy")
    before = copy.would_run()
    save_byte_cnn(copy.path / "weights/Run3Mu-3.pt", 5)
    assert copy.would_run() - before == of_model(MISSING)


def test_lost_checkpoint_makes_its_model_missing_and_keeps_the_others(finished: Folder, tmp_path: Path) -> None:
    copy = finished.copy(tmp_path / "copy")
    (copy.path / "weights/Run3Mu-0.pt").unlink()
    assert copy.would_run() == END | {f"benchmark {OLD[1]}"}  # the lost one was timed at every size
    assert copy.snakemake("--cores", "2").returncode != 0
    summary = json.loads((copy.path / "reports/summary.json").read_text())
    assert {model["id"]: model["status"] for model in summary["models"]} == {
        OLD[0]: "missing", OLD[1]: "passed", OLD[2]: "passed",
    }  # fmt: skip
    assert summary["verdict"] == "failed"
    save_byte_cnn(copy.path / "weights/Run3Mu-0.pt", 0)
    assert copy.would_run() == END


def test_run_without_any_checkpoint_still_writes_its_report(finished: Folder, tmp_path: Path) -> None:
    copy = Folder.fresh(tmp_path / "none", finished.config)
    run = copy.snakemake("--cores", "2")
    assert run.returncode != 0
    summary = Summary.read(copy.path / "reports/summary.json")
    assert [model.status for model in summary.models] == ["missing"] * 3
    assert "no checkpoint at weights/Run3Mu-0.pt" in (copy.path / "reports/summary.md").read_text()
