"""The script that compares the records of two runs: what it lets differ, and that it sees everything else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "bench/compare_records.py"
MODEL = "results/alpha/fold-0"
RECORDS: dict[str, dict[str, Any]] = {
    "reports/summary.json": {
        "verdict": "passed",
        "generated": "today",
        "models": [{"id": "alpha/fold-0", "architecture": "0" * 12, "artifacts": [{"sha256": "a", "bytes": 1000}]}],
    },
    f"results/templates/{'0' * 12}/onnx-01234567/template.json": {
        "options": {"opset": 20},
        "file": {"path": f"results/templates/{'0' * 12}/onnx-01234567/template.onnx", "sha256": "a"},
        "seconds": 1.0,
    },
    f"{MODEL}/onnx/manifest.json": {"artifact": {"sha256": "a"}, "checkpoint": {"sha256": "b"}},
    f"{MODEL}/onnx/validation.onnxruntime.json": {"max_abs_diff": 4e-7, "environment": {"load_average": 0.5}},
    f"{MODEL}/onnx/benchmark.onnxruntime.json": {"rows": [{"batch": 1, "p50_ms": 0.1, "outputs_correct": True}]},
}
Change = Callable[[Path], None]


def write(run: Path, records: dict[str, dict[str, Any]]) -> None:
    for name, content in records.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(json.dumps(content))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old, RECORDS)
    np.savez(old / MODEL / "reference.npz", outputs=np.arange(1.0, 4.0))
    shutil.copytree(old, new)
    return old, new


def compared(old: Path, new: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, str(SCRIPT), str(old), str(new), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def edit(name: str, *keys: str | int, value: Any) -> Change:
    """Return the change of one field of one record."""

    def change(run: Path) -> None:
        content = json.loads((run / name).read_text())
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        write(run, {name: content})

    return change


def test_run_is_equal_to_itself(runs: tuple[Path, Path]) -> None:
    code, said = compared(*runs)
    assert (code, said.endswith("\nequal\n")) == (0, True)
    assert "records: 1 summary, 1 template, 1 manifest, 1 validation, 1 benchmark, 1 reference" in said


def test_times_digests_folders_of_templates_and_what_is_changed_on_purpose_may_differ(runs: tuple[Path, Path]) -> None:
    old, new = runs
    folder = new / f"results/templates/{'0' * 12}"
    (folder / "onnx-01234567").rename(folder / "onnx-89abcdef")
    template = f"results/templates/{'0' * 12}/onnx-89abcdef/template.json"
    for change in (
        edit("reports/summary.json", "generated", value="tomorrow"),
        edit("reports/summary.json", "models", 0, "artifacts", 0, "sha256", value="c"),
        edit("reports/summary.json", "models", 0, "artifacts", 0, "bytes", value=1040),
        edit(template, "seconds", value=9.0),
        edit(template, "file", "path", value=template.replace(".json", ".onnx")),
        edit(f"{MODEL}/onnx/manifest.json", "artifact", "sha256", value="c"),
        edit(f"{MODEL}/onnx/manifest.json", "artifact", "files", value=[{"path": "model.onnx"}]),
        edit(f"{MODEL}/onnx/validation.onnxruntime.json", "environment", "load_average", value=2.5),
        edit(f"{MODEL}/onnx/benchmark.onnxruntime.json", "rows", 0, "p50_ms", value=0.3),
    ):
        change(new)
    assert compared(old, new)[0] == 1
    code, said = compared(old, new, "--changed", "manifest:artifact.files*")
    assert code == 0, said
    assert "1 fields differ as asked for: manifest:artifact.files*" in said


def lose(run: Path) -> None:
    shutil.rmtree(run / MODEL / "onnx")


def nudge(run: Path) -> None:
    np.savez(run / MODEL / "reference.npz", outputs=np.nextafter(np.arange(1.0, 4.0), 9))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (edit("reports/summary.json", "verdict", value="failed"), "verdict: passed → failed"),
        (edit("reports/summary.json", "models", 0, "artifacts", 0, "bytes", value=1100), "bytes: 1000 → 1100"),
        (edit("reports/summary.json", "models", 0, "artifacts", value=[]), "artifacts: absent → []"),
        (edit("reports/summary.json", "added", value=None), "added: absent → None"),
        (edit(f"{MODEL}/onnx/manifest.json", "checkpoint", "sha256", value="c"), "checkpoint.sha256: b → c"),
        (
            edit(f"{MODEL}/onnx/validation.onnxruntime.json", "max_abs_diff", value=4.000001e-7),
            "max_abs_diff: 4e-07 → 4.000001e-07",
        ),
        (edit(f"{MODEL}/onnx/benchmark.onnxruntime.json", "rows", 0, "outputs_correct", value=False), "True → False"),
        (lose, f"{MODEL}/onnx/validation.onnxruntime.json: : a record → absent"),
        (nudge, "outputs: float64[3] → float64[3]"),
    ],
)
def test_everything_else_is_seen(runs: tuple[Path, Path], change: Change, line: str) -> None:
    change(runs[1])
    code, said = compared(*runs)
    assert code == 1
    assert line in said


def test_numbers_may_differ_by_a_share_that_is_asked_for(runs: tuple[Path, Path]) -> None:
    edit(f"{MODEL}/onnx/validation.onnxruntime.json", "max_abs_diff", value=4.000001e-7)(runs[1])
    nudge(runs[1])
    assert compared(*runs, "--rtol", "1e-5")[0] == 0


def test_folder_without_results_is_an_error_of_one_line(tmp_path: Path) -> None:
    code, said = compared(tmp_path, tmp_path)
    assert (code, said) == (2, f"error: {tmp_path} has no results; run `snakemake` there\n")
