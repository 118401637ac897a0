"""What a campaign of many models costs: jobs, core-seconds, wall time and memory, for each stage and for each model.

    python bench/campaign.py 60 --folder /tmp/sixty

makes so many charged-Higgs checkpoints (2 channels × signals × 5 folds, jittered around one set of weights), runs the
whole campaign, and prints a table. With `--kill 600`, everything is killed after ten minutes, and the same command runs
again. The folder can be used again: what is there stays, so that a second run, and one with a changed checkpoint, can
be looked at in the same way. An older version is measured by its own Snakemake, with `--python` and `--snakefile` of
its clone; it tells no costs of stages.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = ("Run1E2Mu", "Run3Mu")
FOLDS = 5
SIGNAL = "TTToHcToWAToMuMu-MHc130_MA90"
EVENTS = 400
"""Toy events of each sample and channel."""
FORMATS = [
    {"format": "torchscript", "layout": "flat", "transforms": "none", "name": "torchscript"},
    {"format": "torch_export", "layout": "dense"},
    {"format": "aotinductor", "layout": "dense"},
    {"format": "onnx", "layout": "dense"},
]
JITTER = 0.05
"""Relative size of the noise that makes one training into many."""
SAMPLED = 1.0
"""Seconds between two looks at memory."""
TIMED = "MODELFERRY_TIMES"


@dataclass
class Cost:
    """What the jobs of a stage cost together: core-seconds and wall-clock seconds, and the most memory of one in MB."""

    jobs: int = 0
    cpu: float = 0.0
    wall: float = 0.0
    memory: float = 0.0


def make(folder: Path, models: int, seed: int) -> None:
    """Write checkpoints and a config for so many models, unless they are there."""
    per_signal = len(CHANNELS) * FOLDS
    if models % per_signal:
        sys.exit(f"error: {models} is not a multiple of {per_signal}: channels × folds")
    signals = [f"signal-{number}" for number in range(models // per_signal)]
    rng = np.random.default_rng(seed)
    state = trained()
    for channel in CHANNELS:
        for signal in signals:
            for fold in range(FOLDS):
                path = folder / "weights" / channel / signal / f"fold-{fold}.pt"
                noise = {name: rng.standard_normal(tuple(tensor.shape)) for name, tensor in state.items()}
                if path.is_file():
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                moved = {
                    name: (tensor.double() * (1 + JITTER * torch.from_numpy(noise[name]).clamp(-3, 3))).to(tensor.dtype)
                    if tensor.is_floating_point()
                    else tensor
                    for name, tensor in state.items()
                }
                torch.save({"model_state_dict": moved}, path)
    make_events(folder)
    config = {
        "campaigns": {
            "charged_higgs": {
                "family": "charged_higgs_particlenet",
                "axes": {"channel": [*CHANNELS], "signal": signals, "fold": list(range(FOLDS))},
                "checkpoint": "weights/{channel}/{signal}/fold-{fold}.pt",
                "events": "events/{channel}/*.root",
                "formats": FORMATS,
                "benchmark": {"seconds": 0.05},
            }
        }
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def make_events(folder: Path) -> None:
    """Write toy events of a signal and three backgrounds for each channel."""
    from modelferry.demo import charged_higgs_toys
    from modelferry.demo.charged_higgs_particlenet import BACKGROUNDS
    from modelferry.families.charged_higgs_particlenet import analysis_tree

    for channel in CHANNELS:
        for number, sample in enumerate((SIGNAL, *BACKGROUNDS.values())):
            path = folder / "events" / channel / f"{sample}-2018.root"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                analysis_tree.write(path, charged_higgs_toys.generate(channel, sample, EVENTS, number))


def trained() -> dict[str, torch.Tensor]:
    """Return weights of the full-size network: as training begins, with the statistics of normal inputs."""
    from modelferry.families import load_family

    family = load_family("charged_higgs_particlenet")
    torch.manual_seed(11)
    network = family.reference(family.resolve({}, {}))
    weights: dict[str, torch.Tensor] = network.state_dict()
    return weights


def run(folder: Path, command: list[str], kills: Sequence[float] = ()) -> tuple[float, float, float]:
    """Run a command; return wall-clock seconds, core-seconds of all processes, and the most memory of one in MB.

    Its whole process group is killed after each number of seconds in `kills`, and the same command is run again.
    """
    os.environ[TIMED] = str(folder / "times.jsonl")
    before, started, largest = os.times(), time.perf_counter(), 0.0
    for limit in (*kills, math.inf):
        process = subprocess.Popen(command, cwd=folder, start_new_session=True)
        begun = time.perf_counter()
        while process.poll() is None:
            largest = max([largest, *memories()])
            time.sleep(SAMPLED)
            if time.perf_counter() - begun > limit:
                print(f"killed after {limit:g} s", flush=True)
                os.killpg(process.pid, SIGKILL)
                process.wait()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, cpu, largest


def memories() -> list[float]:
    """Return the proportional memory in MB of all Python processes of this user that work in a campaign."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"modelferry" in (entry / "cmdline").read_bytes():
                text = (entry / "smaps_rollup").read_text()
                found.append(int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) / 1024)  # type: ignore[index]
        except (OSError, TypeError):
            continue
    return found


def costs(folder: Path) -> dict[str, Cost]:
    """Return what the jobs of each stage cost, by the command that they called."""
    stages: dict[str, Cost] = defaultdict(Cost)
    path = folder / "times.jsonl"
    for line in path.read_text().splitlines() if path.is_file() else ():
        job = json.loads(line)
        cost = stages[job["command"]]
        cost.jobs += 1
        cost.cpu += job["cpu_seconds"]
        cost.wall += job["seconds"]
        cost.memory = max(cost.memory, job["peak_memory_mb"])
    return stages


def main() -> int:
    """Make the campaign, run it, and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=int, help="number of models, a multiple of 10")
    parser.add_argument("--folder", type=Path, required=True, help="where the campaign is; used again if it is there")
    parser.add_argument("--seed", type=int, default=5, help="of the noise (default: %(default)s)")
    parser.add_argument(
        "--snakefile", type=Path, default=ROOT / "workflow/Snakefile", help="default: this repository's"
    )
    parser.add_argument("--python", default=sys.executable, help="whose Snakemake runs (default: this one)")
    parser.add_argument("--cores", default="2", help="cores (default: %(default)s)")
    parser.add_argument(
        "--kill",
        type=float,
        action="append",
        default=[],
        metavar="SECONDS",
        help="kill everything after so long and run the same command again; may be repeated",
    )
    options, others = parser.parse_known_args()
    make(options.folder, options.models, options.seed)
    times = options.folder / "times.jsonl"
    times.unlink(missing_ok=True)
    snakefile = str(options.snakefile.resolve())
    command = [options.python, "-m", "snakemake", "--snakefile", snakefile, "--cores", options.cores, *others]
    wall, cpu, memory = run(options.folder, command, options.kill)
    print(f"{'stage':<14}{'jobs':>6}{'core-s':>10}{'wall-s':>10}{'MB':>8}{'core-s a model':>16}")
    found = costs(options.folder)
    cpu += sum(cost.cpu for cost in found.values())  # the server that forks the jobs is not Snakemake's child
    for stage, cost in found.items():
        each = cost.cpu / options.models
        print(f"{stage:<14}{cost.jobs:>6}{cost.cpu:>10.1f}{cost.wall:>10.1f}{cost.memory:>8.0f}{each:>16.2f}")
    print(f"{'all':<14}{'':>6}{cpu:>10.1f}{wall:>10.1f}{memory:>8.0f}{cpu / options.models:>16.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
