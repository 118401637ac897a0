"""Measure what embedding 100,000 jets costs: time, and the peak memory of the process that does it.

Writes toy jets, exports a Particle Transformer with random weights (small, or of the JetClass size), embeds the jets
through ONNX Runtime on one thread, and collects the tables. Exits with 1 if memory exceeds what the project promises.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import yaml

PROMISED_MB = 2000
FILES = 4
SIZES: dict[str, dict[str, object]] = {
    "small": {"embed": [32, 64, 32], "pair_embed": [8, 8], "heads": 4, "layers": 2, "class_layers": 1, "hidden": 64},
    "jetclass": {},
}


def main() -> int:
    """Make everything in a temporary folder, measure each command in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jets", type=int, default=100_000)
    parser.add_argument("--network", choices=sorted(SIZES), default="small")
    parser.add_argument("--format", default="onnx")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelferry-bench-") as folder:
        os.chdir(folder)
        # A child begins with the memory of what started it: this process has to stay small.
        child = get_context("spawn").Process(target=make, args=(options.jets, options.network, options.format))
        child.start()
        child.join()
        if start("export", "--all").wait():
            return 1
        print(f"{options.jets:,} jets in {FILES} files, network '{options.network}', {options.format}, one thread\n")
        print("| command | seconds | jets/s | peak memory [MB] |\n|:--|--:|--:|--:|")
        embed = ("embed", "--all")
        peaks = [measured(options.jets, *embed), measured(options.jets, *embed, "--collect")]
        os.chdir("/")
    return 0 if max(peaks) <= PROMISED_MB else 1


def make(jets: int, network: str, format_name: str) -> None:
    """Write the jets, half of them as ROOT files, a checkpoint with random weights, and a config."""
    import torch

    from modelferry.demo import jet_toys
    from modelferry.families import load_family

    for number in range(FILES):
        suffix = ("parquet", "root")[number % 2]
        jet_toys.write(f"jets/{number}.{suffix}", jet_toys.mixed(jets // FILES, number))
    family = load_family("particle_transformer")
    hyperparameters = family.resolve({"pair_activation": True, **SIZES[network]}, {})
    torch.manual_seed(1)
    torch.save(family.reference(hyperparameters).state_dict(), "net.pt")
    campaign = {
        "family": "particle_transformer",
        "axes": {"fold": [0]},
        "checkpoint": "net.pt",
        "hyperparameters": {"pair_activation": True},
        "formats": [format_name],
        "embed": {"files": "jets/*"},
    }
    Path("config.yaml").write_text(yaml.safe_dump({"campaigns": {"bench": campaign}}))


def measured(jets: int, *arguments: str) -> float:
    """Run a command; print how long it took and the most memory that it had, in MB; return that."""
    started = time.perf_counter()
    process = start(*arguments)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, peak = time.perf_counter() - started, usage.ru_maxrss / 1e3
    if status:
        raise SystemExit(f"modelferry {' '.join(arguments)} failed")
    print(f"| {' '.join(arguments)} | {seconds:.1f} | {jets / seconds:,.0f} | {peak:,.0f} |", flush=True)
    return peak


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Start a modelferry command on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "modelferry", *arguments], env=environment, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
