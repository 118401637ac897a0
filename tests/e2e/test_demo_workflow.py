"""The demo workflow from a clean copy, with one of its two models made to fail: what a new user sees."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from modelferry.runtimes import runtimes_of
from snippets import in_text

ROOT = Path(__file__).resolve().parents[2]
CHANNEL = "Run1E2Mu"
GOOD_SIGNAL, BAD_SIGNAL = "TTToHcToWAToMuMu-MHc130_MA90", "TTToHcToWAToMuMu-MHc100_MA95"
FLAT_BATCH = 64
"""The largest batch that the contract of the flat layout allows."""
FORMATS = ["torchscript", "torch_export", "aotinductor", "onnx"]
GOOD, BAD = (f"charged_higgs/{CHANNEL}/{signal}/fold-3" for signal in (GOOD_SIGNAL, BAD_SIGNAL))


@dataclass(frozen=True)
class Run:
    path: Path
    code: int
    printed: str

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "reports/summary.json").read_text())
        return found

    @property
    def page(self) -> str:
        return (self.path / "reports/summary.md").read_text()

    def model(self, name: str) -> dict[str, Any]:
        (found,) = (model for model in self.summary["models"] if model["id"] == name)
        return found

    def record(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / f"results/{GOOD}/torchscript/{name}.json").read_text())
        return found


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MODELFERRY", "OMP_", "COV_"))}
    return subprocess.run(
        [Path(sys.executable).with_name("snakemake"), *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(folder / "workflow")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Copy what git would give, reduce the default config by --configfile, and run."""
    folder = tmp_path_factory.mktemp("clone") / "modelferry"
    generated = shutil.ignore_patterns("results", "reports", "logs", ".*", "__pycache__", "tests", "build", "bench")
    shutil.copytree(ROOT, folder, ignore=generated)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    campaign = config["campaigns"]["charged_higgs"]
    config["campaigns"] = {"charged_higgs": campaign}
    campaign["axes"] = {"channel": [CHANNEL], "signal": [GOOD_SIGNAL, BAD_SIGNAL], "fold": [3]}
    campaign["overrides"] = [{"where": {"signal": BAD_SIGNAL}, "checkpoint": "broken.pt"}]
    campaign["benchmark"] = {"seconds": 0.05}
    (folder / "two.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "broken.pt").write_bytes(b"PK\x03\x04 half a checkpoint")
    done = snakemake(folder, "--cores", "2", "--configfile", "two.yaml")
    return Run(folder, done.returncode, done.stdout + done.stderr)


def test_run_fails_and_the_gate_stays_shut(run: Run) -> None:
    assert run.code != 0
    assert not (run.path / "reports/gate.passed").exists()
    assert run.summary["verdict"] == "failed"


def test_summary_follows_its_schema_and_the_names_of_the_design(run: Run) -> None:
    schema = json.loads((ROOT / "workflow/schemas/summary.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(run.summary)
    assert run.summary.keys() >= {
        "schema_version", "verdict", "generated", "environment", "templates", "controls", "models",
    }  # fmt: skip
    model = run.model(GOOD)
    assert model.keys() >= {
        "id", "campaign", "family", "axes", "status", "reason", "checkpoint", "architecture", "parameters", "artifacts",
    }  # fmt: skip
    assert [artifact["format"] for artifact in model["artifacts"]] == FORMATS
    artifact = model["artifacts"][0]
    assert artifact.keys() >= {"format", "path", "bytes", "sha256", "exactness", "validation", "benchmark"}
    assert artifact["validation"][0].keys() >= {
        "runtime", "status", "events", "max_abs_diff", "max_rel_diff", "error_ratio_float64", "argmax_flips",
        "ill_conditioned", "delta_auc",
    }  # fmt: skip
    assert artifact["benchmark"][0].keys() >= {
        "runtime", "threads", "batch", "particles", "p50_ms", "p90_ms", "p99_ms", "cold_load_ms", "first_call_ms",
        "peak_memory_mb",
    }  # fmt: skip


def test_good_model_passes_with_the_sheets_size(run: Run) -> None:
    model = run.model(GOOD)
    assert (model["status"], model["reason"], model["parameters"]) == ("passed", "", 272_807)
    assert model["axes"] == {"channel": CHANNEL, "signal": GOOD_SIGNAL, "fold": 3}
    for artifact in model["artifacts"]:
        assert (run.path / artifact["path"]).stat().st_size == artifact["bytes"]
        assert artifact["exactness"] == "exact"
        assert {found["status"] for found in artifact["validation"]} == {"passed"}
        assert tuple(found["runtime"] for found in artifact["validation"]) == runtimes_of(artifact["format"])
        assert {found["runtime"] for found in artifact["benchmark"]} == set(runtimes_of(artifact["format"]))
        assert all(found["events"] >= 1000 for found in artifact["validation"])
    assert model["artifacts"][0]["bytes"] <= 1.3e6


def test_each_architecture_is_compiled_once_per_format(run: Run) -> None:
    assert sorted(template["format"] for template in run.summary["templates"]) == sorted(FORMATS)
    assert {template["models"] for template in run.summary["templates"]} == {2}


def test_good_model_equals_its_deployable_and_its_reference(run: Run) -> None:
    record = run.record("validation.pytorch")
    assert record["status"] == "passed"
    assert record["deployable_max_abs_diff"] == 0
    assert record["events"] >= 1000
    assert record["max_abs_diff"] < 1e-4
    assert record["argmax_flips"] == 0
    # Equal and collinear particles are near a tie by design, and do not count for the limit.
    ordinary = [
        tie for tie in record["ill_conditioned_events"] if "real events" in tie["source"] or "mixed" in tie["source"]
    ]
    assert len(ordinary) <= record["events"] / 1000
    assert len(record["shapes"]) >= 10
    assert record["class_pairs"]


def test_controls_are_detected(run: Run) -> None:
    controls = {control["name"]: control["detected"] for control in run.summary["controls"]}
    assert len(controls) >= 3
    assert all(controls.values())


def test_demo_network_has_learned_something(run: Run) -> None:
    training = json.loads(
        (run.path / f"results/demo/charged_higgs_particlenet/checkpoints/{GOOD}/training.json").read_text()
    )
    assert set(training["test_auc"]) == {"nonprompt", "diboson", "ttZ"}
    assert max(training["test_auc"].values()) >= 0.85
    assert min(training["test_auc"].values()) > 0.6


def test_demo_checkpoint_has_the_structure_of_a_real_one(run: Run) -> None:
    import torch

    path = run.path / f"results/demo/charged_higgs_particlenet/checkpoints/{GOOD}/model.pt"
    content = torch.load(path, weights_only=True)
    assert set(content) == {"model_state_dict", "val_loss", "best_loss", "epoch"}
    assert len(content["model_state_dict"]) == 108
    statistics = content["model_state_dict"]["conv2.mlp.2.running_var"]
    assert (statistics - 1).abs().max() > 0.01


def test_benchmark_stands_beside_eager(run: Run) -> None:
    record = run.record("benchmark.pytorch")
    points, baseline = ([(row["batch"], row["particles"]) for row in record[part]] for part in ("rows", "baseline"))
    assert points == [point for point in baseline if point[0] <= FLAT_BATCH]
    assert max(point[0] for point in baseline) > FLAT_BATCH
    assert all(row["outputs_correct"] for row in record["rows"])
    assert all(0 < row["p50_low_ms"] <= row["p50_ms"] <= row["p90_ms"] for row in record["rows"])
    assert {row["threads"] for row in record["rows"]} == {1}


def test_first_page_says_what_failed_and_why(run: Run) -> None:
    assert run.model(BAD)["status"] == "failed"
    assert "broken.pt" in run.model(BAD)["reason"]
    section = run.page.partition("What failed, and why")[2].partition("\n## ")[0]
    assert "broken.pt" in section
    assert BAD in section
    assert "1 of 2 models" in run.page[:600]
    assert "272,807" in run.page


def test_figures_are_there_and_linked(run: Run) -> None:
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", run.page)
    assert len(links) >= 2
    for link in links:
        assert (run.path / "reports" / link).stat().st_size > 1000


def test_no_traceback_but_in_the_logs(run: Run) -> None:
    assert any(line.startswith("error: ") and BAD in line for line in run.printed.splitlines())
    assert "Traceback" in (run.path / f"logs/export/{BAD}.log").read_text()


def test_only_the_failed_model_would_run_again(run: Run) -> None:
    done = snakemake(run.path, "-n", "--configfile", "two.yaml")
    assert done.returncode == 0
    assert GOOD not in "\n".join(line for line in done.stdout.splitlines() if line.strip().startswith("wildcards"))
    assert BAD in done.stdout


WITHOUT_MODELFERRY = """
import json, sys

sys.modules["modelferry"] = sys.modules["torch_geometric"] = None  # importing them fails
for code in json.load(sys.stdin):
    exec(code, {})
    print("ran")
"""


def test_python_of_the_report_runs_on_its_artifacts_without_modelferry(run: Run) -> None:
    pages = [page.read_text() for page in sorted((run.path / "reports").glob("*.md"))]
    codes = [block.code for page in pages for block in in_text(page, "report") if block.language == "python"]
    paths = [artifact["path"] for artifact in run.model(GOOD)["artifacts"]]
    assert [path for path in paths if not any(path in code for code in codes)] == []
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MODELFERRY],
        input=json.dumps(codes),
        cwd=run.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("ran\n") == len(codes) >= len(FORMATS)
    assert len(re.findall(r"tensor\(\[\[[\d., e-]+", done.stdout)) == len(codes)
