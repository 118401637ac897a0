"""Real checkpoints through the whole chain, by the commands of the workflow: reference, template, export, validate.

``python bench/real_checkpoints.py [CAMPAIGN …]``: a CIFAR-10 ResNet-20, whose shipped image must be a cat, in every
general format, a Lightning checkpoint with a class that a user would write, and the public ParticleNets of JetClass in
four formats and both layouts, on real jets beside synthetic ones. AOTInductor compiles for half a minute.
What an approximation does is printed only: int8 shifts scores of noise by more than the validation allows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from modelferry.config.file import parse_config
from modelferry.core import paths
from modelferry.formats import format_names, load_format
from modelferry.plan import Plan
from modelferry.plan.models import PlannedModel
from modelferry.records.validation import Validation
from modelferry.runtimes import load_in, runtimes_of

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared/data"
NETWORKS = ROOT / "tests/samples"
"""Where the user's class is."""
IMAGE = DATA / "finn/cifar10-test-data-class3.npz"
CAT = 3
GRAPHS = ["graphs", 12]
JET_FORMATS = ("torchscript", "torch_export", "aotinductor", "onnx")
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "images": {
        "family": "image_classifier",
        "checkpoint": str(DATA / "pytorch_resnet_cifar10/resnet20-12fca82f.th"),
        "hyperparameters": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "formats": [name for name in format_names() if load_format(name).general],
        "events": str(IMAGE),
        "validation": {"events": 200, "atol": 2e-5},  # logits reach 24: as far as 1e-6 is from a score of 1
    },
    "minerals": {
        "family": "lightning",
        "checkpoint": str(DATA / "gnn_mineral_segmentation/model.ckpt"),
        "hyperparameters": {
            "class": "mineral_network:MineralTagger",
            "inputs": {
                "x": {"shape": [*GRAPHS, 65], "values": [0, 0.1]},
                "edges": {"shape": [*GRAPHS, 12], "values": [0, 1]},
                "neighbours": {"shape": [*GRAPHS, 12], "dtype": "bool"},
            },
            "outputs": {"logits": [*GRAPHS, 50], "features": ["graphs", 56]},
            "dimensions": {"graphs": [1, 4, 16]},
            "ignore": ["lr", "batch_size"],
        },
        "formats": ["torchscript", "torch_export", "aotinductor", "onnx", "ort"],
        "validation": {"events": 1000, "atol": 5e-5},  # logits reach 50
    },
    "jets": {
        "family": "particlenet",
        "axes": {"features": ["full", "kin"]},
        "checkpoint": str(DATA / "particle_transformer/ParticleNet_{features}.pt"),
        "formats": [
            *({"format": name, "layout": "prepared"} for name in JET_FORMATS),
            *({"format": name, "layout": "raw", "name": f"{name}-raw"} for name in JET_FORMATS),
        ],
        "events": str(DATA / "sophon/JetClassII_example_100_as_JetClass.root"),
    },
}


def carry(name: str) -> int:
    """Take a campaign through the chain in the working folder, print a line an artifact; return how many fell short."""
    config = {"campaigns": {name: {"axes": {"fold": [0]}, **CAMPAIGNS[name]}}}
    Path("config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for command in ("reference", "export", "validate"):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "modelferry", command, "--all"], check=False)
        print(f"{name}: {command} took {time.perf_counter() - started:.0f} s, exit code {done.returncode}")
    return sum(
        _fell_short(planned, export.name, export.format, runtime)
        for planned in Plan(parse_config(config, "config.yaml")).runnable.values()
        for export in planned.exports
        for runtime in runtimes_of(export.format)
    )


def _fell_short(planned: PlannedModel, export: str, format: str, runtime: str) -> bool:
    record = Path(paths.validation(planned.id, export, runtime))
    if not record.is_file():
        print(f"FAILED {planned.id} {export} in {runtime}: not validated")
        return True
    found = Validation.read(record)
    undetected = [control.name for control in found.controls if not control.detected]
    said = f"{found.status}{found.reason and f': {found.reason}'}, {len(found.controls)} controls"
    said += f", largest difference {found.max_abs_diff:.2g}"
    wrong = bool(undetected) or (found.exactness == "exact" and found.status != "passed")
    if planned.model.campaign == "images":
        image = {"image": (np.load(IMAGE)["arr_0"] / 255).astype(np.float32)}
        (logits,) = load_in(format, runtime, Path(planned.artifact(export)), 1)(image)["logits"]
        wrong |= bool(np.argmax(logits) != CAT)
        said += f"; the image is of class {np.argmax(logits)}, logit {logits[CAT]:.5f}"
    print(f"{'FAILED ' if wrong else ''}{planned.id} {export} in {runtime}: {said}", flush=True)
    return wrong


def main() -> int:
    """Carry all campaigns, or those named; return 1 if any artifact fell short, or sees no cat."""
    os.environ["PYTHONPATH"] = str(NETWORKS)
    sys.path.append(str(NETWORKS))
    short = 0
    for name in sys.argv[1:] or CAMPAIGNS:
        if not Path(CAMPAIGNS[name]["checkpoint"]).parent.is_dir():
            print(f"{name}: skipped, {CAMPAIGNS[name]['checkpoint']} is not there")
            continue
        folder = Path(tempfile.mkdtemp(prefix="modelferry-real-"))
        try:
            os.chdir(folder)
            short += carry(name)
        finally:
            os.chdir(ROOT)
            shutil.rmtree(folder)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
