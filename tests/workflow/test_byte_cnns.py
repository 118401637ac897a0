"""A byte CNN through the whole workflow: formats without a framework, a family without particles."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chunk_samples import QUICK, save_byte_cnn
from made_once import made_once
from workflow_harness import Folder

MODEL = "edge/toxicity"
RUNTIMES = {"json": "python", "python": "python", "cpp": "compiled"}
CONFIG: dict[str, Any] = {
    "campaigns": {
        "edge": {
            **QUICK,
            "axes": {"task": ["toxicity"]},
            "checkpoint": "{task}.pth",
            "formats": list(RUNTIMES),
            "validation": {"events": 300},
            "benchmark": {"seconds": 0.01, "batches": [1, 2], "sizes": [5, 30]},
        }
    }
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    def make(root: Path) -> None:
        made = Folder.fresh(root / "workflow", CONFIG)
        save_byte_cnn(made.path / "toxicity.pth", 3)
        made.run()

    return Folder(made_once(tmp_path_factory, "byte-cnns", make) / "workflow")


def record(folder: Folder, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder.path / name).read_text())
    return found


def test_all_formats_pass_with_all_controls(folder: Folder) -> None:
    summary = record(folder, "reports/summary.json")
    assert summary["verdict"] == "passed"
    (model,) = summary["models"]
    assert {artifact["format"]: artifact["validation"][0]["runtime"] for artifact in model["artifacts"]} == RUNTIMES
    assert {control["name"]: control["detected"] for control in summary["controls"]} == dict.fromkeys((
        "one weight changed by 10 %", "one bias of a small tensor changed", "weights of another fold",
        "evaluation mode forgotten", "bytes in reverse order", "first byte lost", "padded with blanks",
    ), True)  # fmt: skip
    for name, runtime in RUNTIMES.items():
        validation = record(folder, f"results/{MODEL}/{name}/validation.{runtime}.json")
        assert {0, 63, 64, 65, 256} <= {point["sizes"].get("bytes") for point in validation["shapes"]}
        assert {"empty text", "no valid UTF-8"} <= {point["label"] for point in validation["shapes"]}
        assert validation["error_ratio_float64"] < (2 if name == "cpp" else 1)


def test_benchmark_has_the_sizes_of_texts_and_the_memory_of_the_artifacts_own_process(folder: Folder) -> None:
    for name, runtime in RUNTIMES.items():
        rows = record(folder, f"results/{MODEL}/{name}/benchmark.{runtime}.json")["rows"]
        assert [(row["batch"], row["particles"]) for row in rows] == [(1, 5), (1, 30), (2, 30)]
        assert all(row["outputs_correct"] for row in rows)
        assert all(0.5 < row["peak_memory_mb"] < 40 for row in rows)
        assert all(0 < row["cold_load_ms"] < 1000 for row in rows), "compiling is not part of loading"


def test_report_speaks_of_bytes(folder: Folder) -> None:
    page = (folder.path / "reports/summary.md").read_text()
    assert "For one event of 30 bytes" in page
    assert "| batch | bytes | p50" in page
    assert "particles" not in page.replace("latency-by-particles.png", "")


def test_snippets_of_the_report_run(folder: Folder, tmp_path: Path) -> None:
    page = html.unescape((folder.path / "reports/summary.md").read_text())
    found = re.findall(r"<summary>(\w+), bytes layout: \S+</summary>\n\n```(\w+)\n(.*?)```", page, re.DOTALL)
    assert {(name, language) for name, language, _ in found} == {
        ("json", "python"),
        ("python", "python"),
        ("cpp", "cpp"),
    }
    outputs = {}
    for name, language, code in found:
        if language == "python":
            command = [sys.executable, "-I", "-S", "-c", code]
        else:
            (tmp_path / "main.cpp").write_text(code)
            compile_ = ["g++", "-std=c++17", "-I", folder.path, tmp_path / "main.cpp", "-o", tmp_path / "main"]
            subprocess.run(compile_, check=True)
            command = [str(tmp_path / "main")]
        outputs[name] = subprocess.run(command, cwd=folder.path, capture_output=True, text=True, check=True).stdout
    assert float(outputs["python"]) == pytest.approx(float(outputs["cpp"]), abs=1e-5)
    assert "toxicity" in outputs["json"]


def test_nothing_runs_again(folder: Folder) -> None:
    assert folder.would_run() == set()
