"""The wheel in an empty environment, far from any clone: `make test-wheel` makes both and runs this."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from modelferry.records.summary import Summary
from modelferry.records.validation import Validation

ENVIRONMENT = os.environ.get("MODELFERRY_TEST_WHEEL", "")
pytestmark = pytest.mark.skipif(not ENVIRONMENT, reason="`make test-wheel` makes the environment that this needs")

CLONE = Path(__file__).resolve().parents[2]
MODEL = "higgs/Run3Mu/TTToHcToWAToMuMu-MHc130_MA90/fold-3"
CHECKPOINT = f"results/demo/charged_higgs_particlenet/checkpoints/{MODEL}/model.pt"
LARGER = """
from modelferry import SNAKEFILE

configfile: "config/config.yaml"

rule all:
    input: "verdict.txt"

module modelferry:
    snakefile: SNAKEFILE
    config: config["export"]

use rule * from modelferry as ferry_*

rule own:
    input: rules.ferry_gate.output
    output: "verdict.txt"
    shell: "echo passed > {output:q}"
"""


@dataclass(frozen=True)
class Folder:
    """A folder, and the commands of the environment with the wheel in it."""

    path: Path

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, as a shell would with the environment activated."""
        ours = ("MODELFERRY", "PYTHON", "PYTEST", "VIRTUAL_ENV")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        programs = CLONE / ENVIRONMENT / "bin"
        changed = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "MODELFERRY_CACHE": str(self.path.parent / "cache"),  # nothing is built yet
        }
        return subprocess.run(
            [programs / command, *arguments],
            cwd=self.path,
            env={**kept, **changed},
            capture_output=True,
            text=True,
            check=False,
        )

    def succeeds(self, command: str, *arguments: str) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.call(command, *arguments)
        assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
        return done.stdout + done.stderr


@pytest.fixture(scope="session")
def far_away(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder outside any clone, with a blank in its path."""
    folder = tmp_path_factory.mktemp("far away") / "my analyses"
    folder.mkdir()
    return Folder(folder)


@pytest.fixture(scope="session")
def analysis(far_away: Folder) -> Folder:
    """What `modelferry init` has written, after a run."""
    far_away.succeeds("modelferry", "init", "higgs masses")
    folder = Folder(far_away.path / "higgs masses")
    folder.succeeds("snakemake", "--cores", "2")
    return folder


def test_everything_comes_from_the_wheel(far_away: Folder) -> None:
    where = far_away.succeeds("python", "-c", "import modelferry; print(modelferry.SNAKEFILE)").strip()
    assert where.startswith(str(CLONE / ENVIRONMENT))
    assert where.endswith("site-packages/modelferry_share/workflow/Snakefile")


def test_doctor_finds_everything(far_away: Folder) -> None:
    found = {line[3:26].strip(): line for line in far_away.succeeds("modelferry", "doctor").splitlines()}
    assert found["workflow"].startswith("ok ")
    assert "modelferry_share/workflow/Snakefile" in found["workflow"]
    for name in ("snakemake", "runtime cpp", "format aotinductor", "runtime onnxruntime"):
        assert found[name].startswith("ok "), found[name]


def test_demo_of_init_passes_in_python_and_in_cpp(analysis: Folder) -> None:
    summary = Summary.read(analysis.path / "reports/summary.json")
    assert summary.verdict == "passed"
    assert [model.id for model in summary.models] == [MODEL]
    for runtime in ("pytorch", "cpp"):
        record = Validation.read(analysis.path / f"results/{MODEL}/torchscript/validation.{runtime}.json")
        assert record.status == "passed"
        assert record.events >= 1000
    assert "passed" in analysis.succeeds("modelferry", "verdict")


def test_second_run_does_nothing(analysis: Folder) -> None:
    before = {path: path.stat().st_mtime_ns for path in (analysis.path / "results").rglob("*") if path.is_file()}
    analysis.succeeds("snakemake", "--cores", "2")
    after = {path: path.stat().st_mtime_ns for path in (analysis.path / "results").rglob("*") if path.is_file()}
    assert after == before


def test_folder_of_init_is_clean_by_snakemakes_own_lint(analysis: Folder) -> None:
    assert "Congratulations" in analysis.succeeds("snakemake", "--lint")


def test_module_with_renamed_rules_runs_a_campaign_beside_other_rules(analysis: Folder, far_away: Folder) -> None:
    folder = Folder(far_away.path / "larger workflow")
    (folder.path / "config").mkdir(parents=True)
    shutil.copy(analysis.path / CHECKPOINT, folder.path / "fold-3.pt")
    campaign = {
        "family": "charged_higgs_particlenet",
        "axes": {"fold": [3]},
        "checkpoint": "fold-{fold}.pt",
        "formats": ["torchscript"],
        "validation": {"events": 100},
        "benchmark": {"seconds": 0.01, "batches": [1], "sizes": [5]},
    }
    config = {"samples": ["a", "b"], "export": {"campaigns": {"mine": campaign}}}
    (folder.path / "config/config.yaml").write_text(yaml.safe_dump(config))
    (folder.path / "Snakefile").write_text(LARGER)
    printed = folder.succeeds("snakemake", "--cores", "2")
    assert "rule ferry_validate:" in printed
    assert "rule own:" in printed
    assert (folder.path / "verdict.txt").read_text() == "passed\n"
    assert Summary.read(folder.path / "reports/summary.json").verdict == "passed"
    assert (folder.path / "results/mine/fold-3/torchscript/validation.cpp.json").is_file()
    assert "Nothing to be done" in folder.succeeds("snakemake", "--cores", "2")
