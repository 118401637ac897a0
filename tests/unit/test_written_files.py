"""Nothing is written outside the folder that one works in: no device id, no queued events, no caches but our own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modelferry.families import load_family

NETWORK = {
    "pair_activation": True, "embed": [8, 8], "pair_embed": [4], "heads": 2, "layers": 1, "class_layers": 1,
    "hidden": 8,
}  # fmt: skip
CONFIG = """
campaigns:
  jets:
    family: particle_transformer
    axes: {fold: [0]}
    checkpoint: net.pt
    hyperparameters: {pair_activation: true}
    formats: [onnx]
    validation: {events: 20}
"""
API = """
import modelferry, torch
from pathlib import Path
network = torch.nn.Linear(3, 2).eval()
for format in ("onnx", "ort"):
    modelferry.export(network, Path(f"net.{format}"), format=format, inputs=torch.randn(2, 3), dynamic={0: "batch"})
    modelferry.validate(network, f"net.{format}", inputs=torch.randn(4, 3))
    modelferry.load(f"net.{format}")(torch.randn(5, 3))
"""
CLI = [sys.executable, "-m", "modelferry"]
RUNS = {
    "API": [[sys.executable, "-c", API]],
    "CLI": [[*CLI, "export", "--all"], [*CLI, "validate", "--all"]],
}
SWITCHES = ("ORT_", "XDG_", "CI", "GITHUB_", "MODELFERRY", "TORCHINDUCTOR")
"""Variables that would hide what a new user's machine gets: ONNX Runtime sends nothing from CI machines."""


@pytest.mark.parametrize("run", RUNS)
def test_export_and_validation_write_nothing_outside_their_folder(tmp_path: Path, run: str) -> None:
    home, temporary, folder = (tmp_path / name for name in ("home", "temporary", "folder"))
    for path in (home, temporary, folder):
        path.mkdir()
    family = load_family("particle_transformer")
    torch.manual_seed(2)
    torch.save(family.reference(family.resolve(NETWORK, {})).state_dict(), folder / "net.pt")
    (folder / "config.yaml").write_text(CONFIG)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SWITCHES)}
    environment = {**kept, "HOME": str(home), "TMPDIR": str(temporary)}
    for command in RUNS[run]:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    written = [path for root in (home, temporary) for path in root.rglob("*") if path.is_file()]
    assert [str(path) for path in written if ".cache/modelferry" not in str(path)] == []


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("", "1"), ("0", "0")])
def test_telemetry_is_off_unless_one_asks_for_it(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    code = "import modelferry, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]
