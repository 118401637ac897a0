"""Starting the workflow: mistakes are one line, torch is not imported, one run at a time, other configs."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checkpoint_samples import save_checkpoint
from chunk_samples import QUICK
from forked_snakemake import SNAKEMAKE
from modelferry.records.summary import Summary
from modelferry.runtimes import runtimes_of
from workflow_harness import END, HIGGS, ROOT, Folder, of_model

ALPHA = {**HIGGS, "axes": {"fold": [0]}, "checkpoint": "weights/{fold}.pt"}


def refused(folder: Folder, *arguments: str) -> str:
    """Start a run that must be refused with one line, and return it."""
    run = folder.snakemake("--cores", "1", *arguments)
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Using profile", "Using workflow specific profile"))]
    assert len(lines) == 1, run.stderr[-3000:]
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"formts": []}, "did you mean 'formats'?"),
        ({"family": "charged_higs_particlenet"}, "did you mean 'charged_higgs_particlenet'?"),
        ({"formats": ["torchscrip"]}, "did you mean 'torchscript'?"),
        ({"formats": [{"format": "torchscript", "options": {"method": "trce"}}]}, "did you mean 'trace'?"),
        ({"axes": {"fold": []}}, "axis 'fold' is empty"),
        ({"axes": {"fold": [1, 1]}}, "two models are called"),
        ({"checkpoint": "{flod}.pt"}, "did you mean 'fold'?"),
        ({"checkpoint": "{fold:02d}.pt"}, "{fold:02d}"),
        ({"family": "not_there:Mine"}, "not_there"),
        ({"checkpoint": "demo"}, "channel"),
    ],
)
def test_mistake_in_the_config_is_one_line(changes: dict[str, Any], wanted: str, fresh: Callable[..., Folder]) -> None:
    folder = fresh({"campaigns": {"alpha": {**ALPHA, **changes}}})
    save_checkpoint(folder.path / "weights/0.pt", 16)
    assert wanted in refused(folder)


def test_family_of_ones_own_that_does_not_import_is_one_line(fresh: Callable[..., Folder]) -> None:
    folder = fresh({"campaigns": {"alpha": {**ALPHA, "family": "my_taggers:Mine"}}})
    (folder.path / "my_taggers.py").write_text("class Mine(\n")
    assert "my_taggers" in refused(folder)


def test_mistake_in_another_configfile_names_that_file_and_its_line(fresh: Callable[..., Folder]) -> None:
    folder = fresh({"campaigns": {"alpha": ALPHA}})
    folder.configure({"campaigns": {"beta": {**ALPHA, "validation": {"rtoll": 1}}}}, "other.yaml")
    line = refused(folder, "--configfile", "other.yaml")
    assert re.search(r"other.yaml:\d+: campaigns.beta.validation: unknown key .rtoll.", line)


def test_file_in_the_place_of_a_folder_is_named_and_nothing_lost(fresh: Callable[..., Folder]) -> None:
    folder = fresh({"campaigns": {"alpha": ALPHA}})
    save_checkpoint(folder.path / "weights/0.pt", 16)
    (folder.path / "results").write_text("precious")
    run = folder.snakemake("--cores", "1")
    printed = run.stdout + run.stderr
    assert run.returncode != 0
    assert (folder.path / "results").read_text() == "precious"
    assert any(line.startswith("error: ") and "results" in line for line in printed.splitlines()), printed[-2000:]
    assert "Traceback" not in run.stderr.partition("Logfile")[0]


def test_configfile_replaces_the_default_campaign(done: Folder) -> None:
    other = {"campaigns": {"delta": {**QUICK, "axes": {"fold": [0]}, "checkpoint": "weights/Run3Mu-{fold}.pt"}}}
    done.configure(other, "other.yaml")
    assert done.would_run("--configfile", "other.yaml") == of_model("delta/fold-0") | END


def test_other_names_and_numbers_of_axes_work(done: Folder) -> None:
    axes = {"year": [2017, 2018], "region": ["SR1"], "working_point": [0.5], "tagger": ["a", "b"]}
    campaign = {**QUICK, "axes": axes, "checkpoint": "weights/Run3Mu-0.pt"}
    done.configure({"campaigns": {"ttH-bb.v2": campaign}}, "other.yaml")
    models = [f"ttH-bb.v2/year-{y}/SR1/working_point-0.5/{t}" for y in (2017, 2018) for t in "ab"]
    once = {"weight", "certify"}  # four models of one template
    wanted = set().union(*(of_model(model) for model in models)) | once | END
    assert done.would_run("--configfile", "other.yaml") == wanted


@pytest.mark.parametrize("name", ["ttH+bb", "c++", "a.b"])
def test_signs_in_the_name_of_a_campaign_work(name: str, done: Folder) -> None:
    campaign = {**QUICK, "axes": {"fold": [0]}, "checkpoint": "weights/Run3Mu-{fold}.pt"}
    done.configure({"campaigns": {name: campaign}}, "other.yaml")
    assert done.would_run("--configfile", "other.yaml") == of_model(f"{name}/fold-0") | END


def test_parsing_imports_no_torch(done: Folder) -> None:
    poison = done.path / "poison"
    for package in ("torch", "torch_geometric", "sklearn", "matplotlib"):
        (poison / package).mkdir(parents=True)
        (poison / package / "__init__.py").write_text(f"raise SystemExit('{package} was imported')\n")
    assert done.jobs(PYTHONPATH=str(poison)) == []
    demo = {"campaigns": {"d": {**HIGGS, "axes": {"channel": ["Run3Mu"], "signal": ["X-MHc130_MA90"], "fold": [3]}}}}
    demo["campaigns"]["d"]["checkpoint"] = "demo"
    demo["campaigns"]["d"]["axes"]["signal"] = ["TTToHcToWAToMuMu-MHc130_MA90"]
    done.configure(demo, "demo.yaml")
    assert len(done.jobs("--configfile", "demo.yaml", PYTHONPATH=str(poison))) > 6


def test_rules_are_clean_by_snakemakes_own_lint(finished: Folder) -> None:
    run = finished.snakemake("--lint")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Congratulations" in run.stdout + run.stderr


def test_default_config_of_the_repository_makes_a_plan(fresh: Callable[..., Folder]) -> None:
    import yaml

    folder = fresh(yaml.safe_load((ROOT / "config.yaml").read_text()))
    jobs = folder.jobs()
    counts = {stage: sum(job.stage == stage for job in jobs) for stage in {job.stage for job in jobs}}
    in_cpp = "cpp" in runtimes_of("torchscript")
    assert {**counts, "demo_events": 0} == {
        "demo_events": 0, "demo_train": 11, "template": 12, "weight": 1, "certify": 4, "export": 11,
        "validate": 11, "benchmark": 11, "embed": 4, "collect": 2, "explore": 1,
        "report": 1, "gate": 1, **({"build": 1} if in_cpp else {}),
    }  # fmt: skip


def test_second_run_at_the_same_time_is_refused(done: Folder) -> None:
    (done.path / "results/beta/MHc100/python/benchmark.python.json").unlink()
    first = done.start("--cores", "1")
    try:
        log = done.path / ".snakemake/log"
        before = len(list(log.iterdir()))
        lock = done.path / ".snakemake/modelferry/lock"
        while first.poll() is None and not (lock.exists() and lock.read_text().strip() == str(first.pid)):
            time.sleep(0.05)
        assert first.poll() is None, "the first run ended before the second began"
        assert before
        line = refused(done)
        assert f"process {first.pid} already runs" in line
        assert done.snakemake("-n").returncode == 0
    finally:
        printed, _ = first.communicate()
    assert first.returncode == 0, printed[-3000:]
    assert done.jobs() == []


def test_lock_goes_with_its_process(done: Folder) -> None:
    (done.path / "reports/summary.md").unlink()
    first = done.start("--cores", "1")
    lock = done.path / ".snakemake/modelferry/lock"
    while first.poll() is None and not (lock.exists() and lock.read_text().strip() == str(first.pid)):
        time.sleep(0.05)
    assert first.poll() is None, "the run ended before it could be killed"
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    done.run()
    assert Summary.read(done.path / "reports/summary.json").verdict == "passed"


def test_commands_by_hand_use_the_same_files(done: Folder) -> None:
    """What a person exports by hand are the same bytes; the workflow validates and times them again."""
    before = (done.path / "results/beta/MHc100/python/model.py").read_bytes()
    assert done.modelferry("export", "--model", "beta/MHc100").returncode == 0
    assert (done.path / "results/beta/MHc100/python/model.py").read_bytes() == before
    listed = done.modelferry("models")
    assert listed.returncode == 0
    assert listed.stdout.count("passed") == 2
    assert "beta/MHc100          stale    Updated input files: results/beta/MHc100/export.done.json" in listed.stdout


def test_snakemake_is_the_one_beside_this_python() -> None:
    assert Path(SNAKEMAKE).is_file()
