"""Artifacts made and validated by commands, and one line for each that is missing, altered or of other weights."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from checkpoint_samples import formula_state, save_checkpoint
from cli_samples import FOUR, THREE
from modelferry.cli.main import main
from modelferry.families import load_family
from modelferry.records.export import Manifest
from modelferry.records.validation import Validation


def test_all_models_of_a_fold_by_short_names(done: Path) -> None:
    shutil.rmtree("results/higgs")
    assert main(["export", "--channel", "Run3Mu", "--signal", "MHc100_MA95", "--fold", "4"]) == 0
    assert Path(f"results/{FOUR}/torchscript/model.pt").is_file()
    assert not Path(f"results/{THREE}").exists()


def test_export_writes_artifact_and_manifest(done: Path) -> None:
    manifest = Manifest.read(f"results/{THREE}/torchscript/manifest.json")
    assert manifest.artifact.path == f"results/{THREE}/torchscript/model.pt"
    assert manifest.checkpoint.path == "weights/Run3Mu-3.pt"
    assert manifest.hyperparameters == {"hidden": 16}
    assert not manifest.demo
    loaded = torch.jit.load(manifest.artifact.path)
    family = load_family("charged_higgs_particlenet")
    expected = family.convert(formula_state(16, "3"), {"hidden": 16}, "flat", frozenset(manifest.transforms))
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.state_dict().items())
    assert not list(Path("results").rglob("*.part"))


def test_validation_is_recorded(done: Path) -> None:
    record = Validation.read(f"results/{THREE}/torchscript/validation.pytorch.json")
    assert record.status == "passed"
    assert record.deployable_max_abs_diff == 0
    assert record.events >= 50
    assert all(control.detected for control in record.controls)


def test_options_of_validation_are_honoured_and_leave_the_record_alone(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(f"results/{THREE}/torchscript/validation.pytorch.json")
    before = path.read_bytes()
    assert main(["validate", "--fold", "3", "--events", "700", "--rtol", "0.003", "--atol", "0.002"]) == 0
    printed = capsys.readouterr().out
    assert "rtol 0.003, atol 0.002" in printed
    assert int(printed.partition(f"{THREE} torchscript in pytorch: ")[2].split()[0]) >= 700
    assert path.read_bytes() == before


def test_tolerance_that_is_too_tight_fails(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["validate", "--fold", "3", "--rtol", "0", "--atol", "0"]
    assert main(arguments) == 1
    assert "failed" in capsys.readouterr().out
    assert main([*arguments, "--exit-zero"]) == 0


def test_diagnosis_says_what_was_compared_and_saves_the_worst_event(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diagnose", THREE, "torchscript"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{THREE} torchscript"
    assert "  outputs: passed" in printed
    assert any("bit by bit" in line for line in printed)
    assert (done / f"results/{THREE}/torchscript/diagnosis.npz").is_file()


def test_diagnosis_of_what_is_not_there_is_one_line(done: Path, fails: Callable[..., str]) -> None:
    assert "did you mean" in fails("diagnose", THREE.replace("fold-3", "fold-5"), "torchscript")
    assert "did you mean 'torchscript'" in fails("diagnose", THREE, "torchscrpt")
    (done / f"results/{THREE}/torchscript/manifest.json").unlink()
    assert "manifest.json is missing" in fails("diagnose", THREE, "torchscript")


def test_artifact_is_validated_by_its_path(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", f"results/{FOUR}/torchscript/model.pt"]) == 0
    assert f"passed {FOUR}" in capsys.readouterr().out


def test_another_file_beside_a_manifest_is_not_passed_for_the_artifact(done: Path, fails: Callable[..., str]) -> None:
    other = Path(f"results/{THREE}/torchscript/other.pt")
    shutil.copy(f"results/{FOUR}/torchscript/model.pt", other)
    assert str(other) in fails("validate", str(other))


def test_copy_of_an_artifact_elsewhere_is_itself_validated(done: Path, fails: Callable[..., str]) -> None:
    shutil.copytree(f"results/{THREE}/torchscript", "shipped")
    shutil.copy(f"results/{FOUR}/torchscript/model.pt", "shipped/model.pt")  # not what the manifest describes
    assert "shipped/model.pt" in fails("validate", "shipped/model.pt")


def test_altered_artifact_is_refused(done: Path, fails: Callable[..., str]) -> None:
    path = Path(f"results/{THREE}/torchscript/model.pt")
    shutil.copy(f"results/{FOUR}/torchscript/model.pt", path)
    line = fails("validate", "--fold", "3")
    assert f"{path} is not the file that its manifest describes; export it again" in line
    assert THREE in line


def test_altered_template_is_refused(done: Path, fails: Callable[..., str]) -> None:
    (template,) = Path("results/templates").rglob("template.pt")
    template.write_bytes(template.read_bytes()[:-1] + b"x")
    assert f"{template} was altered after it was built" in fails("export", "--fold", "3")


def test_recording_of_other_weights_is_refused(done: Path, fails: Callable[..., str]) -> None:
    save_checkpoint(done / "weights/Run3Mu-3.pt", 16, salt="new")
    assert main(["export", "--fold", "3"]) == 0
    assert "different weights" in fails("validate", "--fold", "3", "--format", "torchscript")


def test_missing_artifact_is_named(done: Path, fails: Callable[..., str]) -> None:
    assert "there is no artifact results/none/model.pt" in fails("validate", "results/none/model.pt")


def test_artifact_without_a_manifest_is_named(done: Path, fails: Callable[..., str]) -> None:
    (done / "alone").mkdir()
    shutil.copy(done / f"results/{THREE}/torchscript/model.pt", done / "alone/model.pt")
    assert "alone/model.pt has no manifest.json beside it" in fails("validate", "alone/model.pt")


@pytest.mark.parametrize("content", ["", "{", "{}", '{"schema_version": 1, "model": 3}', "\x00\xff"])
def test_damaged_manifest_is_named(content: str, done: Path, fails: Callable[..., str]) -> None:
    path = Path(f"results/{THREE}/torchscript/manifest.json")
    path.write_text(content)
    assert str(path) in fails("validate", "--fold", "3", "--format", "torchscript")


def test_missing_checkpoint_is_named(folder: Path, fails: Callable[..., str]) -> None:
    line = fails("export", "--fold", "4")
    assert FOUR in line
    assert "weights/Run3Mu-4.pt" in line


def test_checkpoints_that_cannot_be_used_are_named(folder: Path, fails: Callable[..., str]) -> None:
    path = folder / "weights/Run3Mu-3.pt"
    path.parent.mkdir()
    evil = {"state_dict": formula_state(16), "x": os.system}
    wrong = formula_state(16)
    wrong["output.weight"] = torch.ones(5, 16)
    nan = formula_state(16)
    nan["output.bias"][0] = float("nan")
    cases: list[tuple[Any, str]] = [
        (b"this is not a checkpoint", "is not a checkpoint"),
        (evil, "system"),
        (wrong, "output.weight (5, 16) instead of (4, 16)"),
        ({"layer": torch.ones(2)}, "not expected: layer"),
        (nan, "output.bias not finite"),
    ]
    for content, wanted in cases:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        line = fails("export", "--fold", "3")
        assert wanted in line
        assert "weights/Run3Mu-3.pt" in line
        assert THREE in line
        assert not Path(f"results/{THREE}/torchscript/model.pt").exists()


def test_broken_model_hides_no_other_and_leaves_its_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "weights").mkdir()
    (folder / "weights/Run3Mu-3.pt").write_bytes(b"this is not a checkpoint")
    save_checkpoint(folder / "weights/Run3Mu-4.pt", 16)
    assert main(["export", "--all"]) == 1
    captured = capsys.readouterr()
    assert [line for line in captured.err.splitlines() if line.startswith("error: ")] == captured.err.splitlines()
    assert len(captured.err.splitlines()) == 1
    assert Path(f"results/{FOUR}/torchscript/model.pt").is_file()
    failure = json.loads(Path(f"logs/failures/export/{THREE}/torchscript.json").read_text())
    assert "Run3Mu-3.pt" in failure["reason"]
    assert "Traceback" in Path("logs/modelferry.log").read_text()
    save_checkpoint(folder / "weights/Run3Mu-3.pt", 16)
    assert main(["export", "--all"]) == 0
    assert not Path(f"logs/failures/export/{THREE}/torchscript.json").exists()


def test_unexpected_error_of_one_model_hides_no_other(
    done: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelferry.stages.export import artifact

    whole = artifact.export_model

    def broken(planned: Any, name: str) -> Manifest:
        if planned.id == THREE:
            raise RuntimeError("out of\nmemory")
        return whole(planned, name)

    shutil.rmtree("results/higgs")
    monkeypatch.setattr(artifact, "export_model", broken)
    assert main(["export", "--all"]) == 1
    assert Path(f"results/{FOUR}/torchscript/model.pt").is_file()
    assert all(line.startswith("error: ") for line in capsys.readouterr().err.splitlines())
    assert "out of" in Path("logs/modelferry.log").read_text()


def test_truncated_reference_is_named(done: Path, fails: Callable[..., str]) -> None:
    path = Path(f"results/{THREE}/reference.npz")
    path.write_bytes(path.read_bytes()[:1000])
    assert str(path) in fails("validate", "--fold", "3", "--format", "torchscript")
