"""The demo makes its own checkpoints: right after the run that made them there must be nothing left to do."""

from pathlib import Path

import pytest

from made_once import made_once
from workflow_harness import END, HIGGS, Folder, of_model

MODEL = "higgs/Run3Mu/TTToHcToWAToMuMu-MHc130_MA90/fold-3"
CONFIG = {
    "campaigns": {
        "higgs": {
            **HIGGS,
            "axes": {"channel": ["Run3Mu"], "signal": ["TTToHcToWAToMuMu-MHc130_MA90"], "fold": [3]},
            "checkpoint": "demo",
            "hyperparameters": {"hidden": 16},
        }
    }
}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = made_once(tmp_path_factory, "demo", lambda root: Folder.fresh(root / "workflow", CONFIG).run())
    return Folder(folder / "workflow")


def test_nothing_is_left_to_do_right_after_the_demo_was_trained(demo: Folder) -> None:
    assert demo.jobs() == []


def test_touched_demo_checkpoint_and_events_re_run_nothing(demo: Folder, tmp_path: Path) -> None:
    copy = demo.copy(tmp_path / "copy")
    files = [path for path in (copy.path / "results/demo").rglob("*") if path.suffix in (".pt", ".root")]
    assert len(files) == 1 + 4 * 4
    for path in files:
        path.touch()
    assert copy.jobs() == []


def test_changed_hyperparameter_trains_anew_and_needs_a_new_template(demo: Folder, tmp_path: Path) -> None:
    copy = demo.copy(tmp_path / "copy")
    config = copy.config
    config["campaigns"]["higgs"]["hyperparameters"]["hidden"] = 24
    copy.configure(config)
    jobs = copy.jobs()
    assert {f"{job.stage} {job.model}".strip() for job in jobs if job.stage != "template"} == {
        f"demo_train {MODEL}", *of_model(MODEL), *END,
    }  # fmt: skip
    assert [job.stage for job in jobs].count("template") == 1


@pytest.mark.parametrize(
    ("module", "events"),
    [
        ("demo/charged_higgs_toys.py", True),
        ("demo/charged_higgs_training.py", False),
        ("families/charged_higgs_particlenet/reference.py", False),
    ],
)
def test_changed_code_of_the_demo_trains_anew(demo: Folder, module: str, events: bool, tmp_path: Path) -> None:
    copy = demo.copy(tmp_path / "copy")
    copy.edit(module)
    stages = {job.stage for job in copy.jobs()}
    assert stages >= {"demo_train", "export", "validate", "benchmark", "report", "gate"}
    assert not events or "demo_events" in stages
    assert ("template" in stages) == module.startswith("families/"), "a family's networks are all part of its code"


def test_lost_events_are_made_again_only_if_something_reads_them(demo: Folder, tmp_path: Path) -> None:
    copy = demo.copy(tmp_path / "copy")
    config = copy.config
    config["campaigns"]["higgs"]["validation"]["rtol"] = 2e-5
    copy.configure(config)
    assert copy.would_run() == of_model(MODEL, "validate") | END
