"""The example project, built and run exactly as the document says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from modelferry.families import load_family
from modelferry.formats import load_format
from snippets import code

ROOT = Path(__file__).parents[2]


def test_documented_commands_build_and_run_the_example(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    build, run = code("docs/cpp.md", "sh")
    models = f"{samples}/torchscript {samples}/aotinductor"
    script = "set -e\n" + build + run.replace("MODEL_FOLDER…", models)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = re.findall(r"^(\w+) \S+: (\d+) events, mean score ([\d.]+)$", done.stdout, re.MULTILINE)
    assert [name for name, _, _ in found] == ["torchscript", "aotinductor"]
    expected = mean_score(samples / "torchscript/model.pt")
    for _, events, mean in found:
        assert int(events) == 20
        assert float(mean) == pytest.approx(expected, abs=2e-6)


def mean_score(artifact: Path) -> float:
    """Return the mean signal score of the example's events, one event a call, in Python."""
    run = load_format("torchscript").load(artifact, threads=1)
    table = np.loadtxt(ROOT / "examples/cpp-event-loop/events.csv", delimiter=",", skiprows=1, dtype=np.float32)
    era = np.float32([0, 0, 0, 1])
    family, scores = load_family("charged_higgs_particlenet"), []
    for event in np.unique(table[:, 0]):
        x = np.ascontiguousarray(table[table[:, 0] == event, 1:])
        logits = run(family.collate([{"x": x, "graph_input": era}], "dense"))["logits"][0].astype(np.float64)
        scores.append(float(np.exp(logits[0]) / np.exp(logits).sum()))
    return float(np.mean(scores))
