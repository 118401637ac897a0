"""Measure what the project claims about byte CNNs as source code: part of `make bench`.

The 10k network: a generated Python module and a generated C++ header against a straightforward nested loop over the
padded text, all in one run, in rounds that alternate. Exits with 1 if a claim does not hold on this machine.
"""

from __future__ import annotations

import math
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from claims import Claim, print_claims

from modelferry.core.environment import describe
from modelferry.families import load_family
from modelferry.families.trained import load_checkpoint
from modelferry.stages.export.standalone import StandaloneExport, wanted_formats

REFERENCE = Path(__file__).resolve().parents[2] / "shared/data/pinybytecnn/bytecnn_10k_reference.json"
SHORT = "Hello, world!"
LONG = (
    "It was a bright cold day in the machine room, and the clocks were striking ten; somebody had moved the big "
    "printer again, just far enough that its cable no longer reached. 'Who does such things?' asked Zoë, who needed "
    "400 copies by noon, and went to look for the extension lead in box no. 742."
)
TEXTS = {"13 bytes": SHORT, "294 bytes": LONG}
ROUNDS = 7
PYTHON_FACTOR, CPP_FACTOR, IMPORT_MS = 20.0, 50.0, 50.0

TIMER = """\
#include <chrono>
#include <cstdio>
#include <string>

#include "network-10k.hpp"

int main(int, char** arguments) {
  const std::string text = arguments[1];
  double sum = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int call = 0; call < 2000; ++call) sum += network::predict(text);
  const std::chrono::duration<double, std::micro> spent = std::chrono::steady_clock::now() - begin;
  std::printf("%.9f %.9f\\n", spent.count() / 2000, sum / 2000);
}
"""
IMPORT = """\
import sys, time
sys.path.insert(0, sys.argv[1])
status = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
before, started = status(), time.perf_counter()
import network_10k_weights
imported = time.perf_counter()
network_10k_weights.predict(sys.argv[2])
print((imported - started) * 1e3, (time.perf_counter() - imported) * 1e3, status() - before)
"""


def main() -> int:
    """Export the network, time everything in rounds, and print the tables."""
    torch.set_num_threads(1)
    assert [len(text.encode()) for text in TEXTS.values()] == [13, 294]
    print(f"{describe().cpu}, {describe().isa}, load average {describe().load_average}, Python {describe().python}")
    with tempfile.TemporaryDirectory(prefix="modelferry-bench-") as name:
        folder = Path(name)
        model = load_checkpoint(checkpoint(folder), family="bytecnn", facts={"name": "network"})
        formats, out = ("json", "python", "cpp"), folder / "out"
        written = {
            found.path.suffix: found for found in StandaloneExport.of(model).write(wanted_formats(formats, {}), out)
        }
        folder = out
        predict = runpy.run_path(str(folder / "network_10k_weights.py"))["predict"]
        timer = compiled(folder)
        loops = nested_loops(model.weights)
        claims = []
        print("\n| text | nested loops [ms] | Python [ms] | C++ [ms] |\n|:--|--:|--:|--:|")
        for label, text in TEXTS.items():
            slow, quick, native = in_turn(lambda t=text: loops(t), lambda t=text: predict(t), lambda t=text: timer(t))
            print(f"| {label} | {slow:.1f} | {quick:.3f} | {native:.5f} |")
            claims.append(Claim(f"Python against nested loops, {label}", PYTHON_FACTOR, slow / quick))
            claims.append(Claim(f"C++ against nested loops, {label}", CPP_FACTOR, slow / native))
        fresh = [started(folder, "-B") for _ in range(ROUNDS)]
        started(folder)
        cached = [started(folder) for _ in range(ROUNDS)]
    print(f"\nbytes: {', '.join(f'{suffix} {found.bytes:,}' for suffix, found in written.items())}")
    for label, runs in (("from source", fresh), ("from bytecode", cached)):
        imported, first, memory = (median(column) for column in zip(*runs, strict=True))
        print(f"module {label}: import {imported:.1f} ms, first call {first:.1f} ms, memory {memory:.1f} MB")
        claims.append(Claim(f"import {label} [ms]", IMPORT_MS, imported, False))
    return print_claims(claims)


def checkpoint(folder: Path) -> Path:
    """Return the reference network, or one of its size with random weights where the shared data are not."""
    if REFERENCE.is_file():
        return Path(shutil.copyfile(REFERENCE, folder / "network-10k.json"))
    path = folder / "network-10k.pt"
    torch.manual_seed(1)
    family = load_family("bytecnn")
    torch.save(family.reference(family.hyperparameters).state_dict(), path)
    return path


def nested_loops(weights: dict[str, torch.Tensor]) -> Callable[[str], float]:
    """Return the forward function as one writes it down first: loops over 512 positions, channels and taps."""
    lists = {name: tensor.double().tolist() for name, tensor in weights.items()}
    embedding, weight, bias = lists["embedding.weight"], lists["conv1.weight"], lists["conv1.bias"]

    def linear(name: str, values: Sequence[float]) -> list[float]:
        rows = zip(lists[f"{name}.weight"], lists[f"{name}.bias"], strict=True)
        return [sum(w * v for w, v in zip(row, values, strict=True)) + shift for row, shift in rows]

    def predict(text: str) -> float:
        data = text.encode()[:512]
        columns = [embedding[byte] for byte in data + bytes(512 - len(data))]
        padded = [[0.0] * len(columns[0]), *columns, [0.0] * len(columns[0])]
        pooled = []
        for filters, shift in zip(weight, bias, strict=True):
            total, largest = 0.0, 0.0
            for position in range(512):
                value = shift
                for channel, taps in enumerate(filters):
                    for tap, factor in enumerate(taps):
                        value += factor * padded[position + tap][channel]
                value = max(value, 0.0)
                total += value
                largest = max(largest, value)
            pooled.append((total / 512 + largest) / 2)
        (logit,) = linear("output", [max(value, 0.0) for value in linear("classifier", pooled)])
        return 1 / (1 + math.exp(-logit))

    return predict


def compiled(folder: Path) -> Callable[[str], float]:
    """Compile the header with a loop around it; the result returns the microseconds of a call, timed by itself."""
    (folder / "timer.cpp").write_text(TIMER)
    subprocess.run(["g++", "-std=c++17", "-O2", folder / "timer.cpp", "-o", folder / "timer"], check=True)
    return lambda text: float(subprocess.check_output([folder / "timer", text]).split()[0])


def in_turn(*calls: Callable[[], float]) -> tuple[float, float, float]:
    """Return the medians, in milliseconds, of two calls timed here and one that times itself, all in alternation."""
    loops, python, cpp = calls
    times: list[tuple[float, float, float]] = []
    assert abs(loops() - python()) < 1e-12
    for _ in range(ROUNDS):
        times.append((clocked(loops, 1), clocked(python, 50), cpp() / 1e3))
    slow, quick, native = (median(column) for column in zip(*times, strict=True))
    return slow, quick, native


def clocked(call: Callable[[], float], number: int) -> float:
    """Return the milliseconds of a call, the mean of `number` of them."""
    begin = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - begin) * 1e3 / number


def started(folder: Path, *options: str) -> tuple[float, ...]:
    """Return import [ms], first call [ms] and memory [MB] of the module in a fresh interpreter."""
    command = [sys.executable, "-I", "-S", *options, "-c", IMPORT, folder, LONG]
    return tuple(map(float, re.findall(r"[\d.]+", subprocess.check_output(command, text=True))))


if __name__ == "__main__":
    sys.exit(main())
