"""Each sentence of the design on re-running, asked of Snakemake: which jobs would run, and why."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from chunk_samples import save_byte_cnn
from workflow_harness import END, Folder, named, of_model

FIRST, SECOND, OTHER = "alpha/Run3Mu/fold-0", "alpha/Run3Mu/fold-1", "beta/MHc100"
ALL = (FIRST, SECOND, OTHER)


def everything(*stages: str) -> set[str]:
    return set().union(*(of_model(model, *stages) for model in ALL))


def test_second_run_executes_no_job(done: Folder) -> None:
    assert done.jobs() == []
    assert "Nothing to be done" in done.run()


def test_touching_all_checkpoints_re_runs_nothing(done: Folder) -> None:
    for path in (done.path / "weights").iterdir():
        path.touch()
    assert done.jobs() == []


def test_copying_all_checkpoints_anew_re_runs_nothing(done: Folder) -> None:
    for path in list((done.path / "weights").iterdir()):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert done.jobs() == []


def test_moving_the_folder_re_runs_nothing(done: Folder, tmp_path: Path) -> None:
    moved = Folder(done.path.rename(tmp_path / "moved"))
    assert moved.jobs() == []


@pytest.mark.parametrize("same_time", [False, True])
def test_changed_bytes_of_a_checkpoint_re_run_that_model_and_no_template(done: Folder, same_time: bool) -> None:
    path = done.path / "weights/Run3Mu-1.pt"
    before = path.stat()
    save_byte_cnn(path, 7)
    if same_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done.would_run() == of_model(SECOND) | END


def test_changed_checkpoint_is_really_exported_and_then_nothing_is_left_to_do(done: Folder) -> None:
    artifacts = {model: done.path / f"results/{model}/python/model.py" for model in ALL}
    before = {model: path.read_bytes() for model, path in artifacts.items()}
    save_byte_cnn(done.path / "weights/MHc100-best.pt", 7)
    done.run()
    after = {model: path.read_bytes() for model, path in artifacts.items()}
    assert {model for model in ALL if before[model] != after[model]} == {OTHER}
    assert done.jobs() == []


def test_tolerance_of_one_campaign_re_validates_that_campaign_only(done: Folder) -> None:
    config = done.config
    config["campaigns"]["alpha"]["validation"]["rtol"] = 2e-5
    done.configure(config)
    assert done.would_run() == of_model(FIRST, "validate") | of_model(SECOND, "validate") | END


def test_number_of_events_validates_again(done: Folder) -> None:
    config = done.config
    config["campaigns"]["beta"]["validation"]["events"] = 70
    done.configure(config)
    assert done.would_run() == of_model(OTHER, "validate") | END


def test_setting_of_the_benchmark_re_times_that_campaign_only(done: Folder) -> None:
    config = done.config
    config["campaigns"]["beta"]["benchmark"]["seconds"] = 0.02
    done.configure(config)
    assert done.would_run() == of_model(OTHER, "benchmark") | END


def test_order_and_comments_of_the_config_re_run_nothing(done: Folder) -> None:
    config = done.config
    config["campaigns"]["alpha"] = dict(reversed(config["campaigns"]["alpha"].items()))
    done.configure(config)
    path = done.path / "config.yaml"
    path.write_text("# a comment\n" + path.read_text())
    assert done.jobs() == []


@pytest.mark.parametrize(
    ("module", "stages", "templates"),
    [
        ("stages/export/template.py", ("export", "validate", "benchmark"), True),
        ("stages/export/artifact.py", ("export", "validate", "benchmark"), False),
        ("comparison/judge.py", ("validate",), False),
        ("stages/benchmark/timing.py", ("benchmark",), False),
    ],
)
def test_changed_code_of_a_stage_re_runs_that_stage(
    done: Folder, module: str, stages: tuple[str, ...], templates: bool
) -> None:
    done.edit(module)
    wanted = everything(*stages) | END | ({"template"} if templates else set())
    assert done.would_run() == wanted


def test_changed_code_of_the_report_re_runs_the_report_only(done: Folder) -> None:
    done.edit("stages/report/first_page.py")
    assert done.would_run() == END


def test_changed_code_of_family_or_format_re_runs_what_imports_it(done: Folder) -> None:
    done.edit("formats/python.py")
    assert done.would_run() >= everything("export", "validate", "benchmark") | END | {"template"}


def test_changed_code_of_demo_commands_plan_file_names_or_version_re_runs_nothing_here(done: Folder) -> None:
    for module in ("demo/jet_toys.py", "cli/main.py", "plan/reruns.py", "plan/start.py", "core/paths.py", "version.py"):
        done.edit(module)
    assert done.jobs() == []


def test_upgrading_torch_re_runs_what_torch_touches(done: Folder) -> None:
    jobs = done.jobs(PYTHONPATH=done.upgrade("torch"))
    assert named(jobs) == everything() | END | {"template"}


def test_upgrading_what_computes_nothing_re_runs_nothing(done: Folder) -> None:
    assert done.jobs(PYTHONPATH=done.upgrade("matplotlib")) == []


def test_another_width_needs_a_new_template(done: Folder) -> None:
    save_byte_cnn(done.path / "weights/Run3Mu-1.pt", 1, dense=12)
    jobs = done.jobs()
    assert named(jobs) == of_model(SECOND) | END | {"template"}
    assert [job.rule for job in jobs].count("template_python") == 1


def test_added_model_is_the_only_one_to_run(done: Folder) -> None:
    config = done.config
    config["campaigns"]["alpha"]["axes"]["fold"] = [0, 1, 2]
    done.configure(config)
    save_byte_cnn(done.path / "weights/Run3Mu-2.pt", 7)
    assert done.would_run() == of_model("alpha/Run3Mu/fold-2") | END


def test_removed_model_re_runs_the_report_only(done: Folder) -> None:
    config = done.config
    config["campaigns"]["alpha"]["axes"]["fold"] = [0]
    done.configure(config)
    assert done.would_run() == END


def test_removed_campaign_re_runs_the_report_only(done: Folder) -> None:
    config = done.config
    del config["campaigns"]["beta"]
    done.configure(config)
    assert done.would_run() == END


def test_added_export_needs_one_template_and_concerns_its_campaign_only(done: Folder) -> None:
    config = done.config
    config["campaigns"]["beta"]["formats"] = ["python", "json"]
    done.configure(config)
    jobs = done.jobs()
    assert named(jobs) == of_model(OTHER, "export", "validate", "benchmark") | END | {"template"}
    counts = {stage: sum(job.stage == stage for job in jobs) for stage in ("template", "export", "validate")}
    assert counts == {"template": 1, "export": 1, "validate": 1}


@pytest.mark.parametrize(
    ("lost", "wanted"),
    [
        ("results/beta/MHc100/python/model.py", of_model(OTHER, "export", "validate", "benchmark") | END),
        ("results/beta/MHc100/python/validation.python.json", of_model(OTHER, "validate") | END),
        ("results/beta/MHc100/python/benchmark.python.json", of_model(OTHER, "benchmark") | END),
        ("reports/summary.md", END),
        ("reports/gate.passed", {"gate"}),
    ],
)
def test_lost_file_is_made_again_and_what_depends_on_it(done: Folder, lost: str, wanted: set[str]) -> None:
    (done.path / lost).unlink()
    assert done.would_run() == wanted


def test_lost_model_is_made_again(done: Folder) -> None:
    shutil.rmtree(done.path / f"results/{FIRST}")
    assert done.would_run() == of_model(FIRST) | END


def test_comments_and_docstrings_in_all_files_re_run_nothing(done: Folder) -> None:
    for path in (done.path / "workflow/modelferry").rglob("*.py"):
        path.write_text("# a comment\n" + path.read_text().replace('"""', '"""Said otherwise: ', 1) + "\n# another\n")
    assert done.jobs() == []


SAID = "Params have changed since last execution: "


def test_reasons_name_code_and_weights(done: Folder) -> None:
    done.edit("stages/benchmark/timing.py")
    done.edit("stages/validation/perturbation.py")
    path = done.path / "weights/MHc100-best.pt"
    before = path.stat()
    save_byte_cnn(path, 7)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    told = {(job.stage, job.model): job.reason for job in done.jobs()}
    for stage, file in (("benchmark", "stages/benchmark/timing.py"), ("validate", "stages/validation/perturbation.py")):
        assert told[stage, FIRST] == told[stage, SECOND] == f"{SAID}code: {file}"
    assert told["export", OTHER] == f"{SAID}weights: weights/MHc100-best.pt"


def test_reasons_name_settings_with_both_values_and_versions(done: Folder) -> None:
    config = done.config
    config["campaigns"]["alpha"]["validation"]["rtol"] = 2e-5
    config["campaigns"]["beta"]["benchmark"]["seconds"] = 0.02
    done.configure(config)
    upgrade = done.upgrade("torch")
    told = {(job.stage, job.model): job.reason for job in done.jobs()}
    assert told["validate", FIRST] == f"{SAID}config: validation.python.rtol 1e-05 → 2e-05"
    assert told["benchmark", OTHER] == f"{SAID}config: benchmark.seconds 0.01 → 0.02, every size false → true"
    told = {(job.stage, job.model): job.reason for job in done.jobs(PYTHONPATH=upgrade)}
    assert re.search(rf"{SAID}versions: torch \S+ → 99\.0\.0$", told["export", OTHER])


def test_models_and_why_tell_what_a_run_would_do(done: Folder) -> None:
    save_byte_cnn(done.path / "weights/Run3Mu-1.pt", 9)
    listed = json.loads(done.modelferry("models", "--json").stdout)
    assert {model["id"]: (model["state"], model["reason"]) for model in listed} == {
        FIRST: ("passed", ""), SECOND: ("stale", "Updated input files: weights/Run3Mu-1.pt"), OTHER: ("passed", ""),
    }  # fmt: skip
    export, *others = done.modelferry("why", SECOND).stdout.splitlines()
    assert export == "export: Updated input files: weights/Run3Mu-1.pt"
    assert [line.partition(":")[0] for line in others] == ["validate", "benchmark"]
