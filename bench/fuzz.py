"""Fuzz the artifacts of a config: `make fuzz`, where a workflow has run, or `python bench/fuzz.py [CALLS [MALFORMED]]`.

Each artifact is loaded in a process of its own and fed random inputs that respect its contract (any sizes, numbers,
integers and masks that it allows), then malformed ones. A process that dies, an answer of another shape or type than
the contract says, a refusal of what it allows, and an answer to what it does not allow are failures; exits with 1.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from modelferry.config.file import read_config
from modelferry.core.contract import Arrays, Contract
from modelferry.formats import Runner, load_format
from modelferry.plan import Plan
from modelferry.records.export import Manifest
from modelferry.stages.validation.invalid_inputs import malformed

CALLS, MALFORMED = 10_000, 1_000
ELEMENTS = 4_000
"""Numbers in a call, at most: it is their values and small sizes that find faults; large sizes are validated."""


def main(calls: int = CALLS, wrong: int = MALFORMED) -> int:
    """Fuzz each artifact of the first model of each campaign."""
    seen: set[tuple[str, str]] = set()
    failed = 0
    for planned in Plan(read_config(None)).runnable.values():
        for export in planned.exports:
            key = (planned.model.campaign, export.name)
            if key in seen:
                continue
            seen.add(key)
            manifest = str(Path(planned.artifact(export.name)).parent / "manifest.json")
            done = subprocess.run(
                [sys.executable, __file__, "--child", export.format, manifest, str(calls), str(wrong)],
                capture_output=True,
                text=True,
            )
            last = (done.stdout.strip().splitlines() or ["nothing was said"])[-1]
            died = f"; the process died with signal {-done.returncode}" if done.returncode < 0 else ""
            failed += done.returncode != 0
            print(f"{export.name}: {'FAILED: ' if done.returncode else ''}{last}{died}", flush=True)
            if done.returncode > 0 and done.stderr:
                print(done.stderr.strip().splitlines()[-1])
    return 1 if failed or not seen else 0


def child(format_name: str, manifest: str, calls: int, wrong: int) -> int:
    """Fuzz one artifact in this process."""
    record = Manifest.read(manifest)
    run = load_format(format_name).load(Path(record.artifact.path), 1)
    return fuzz(run, record.contract, calls, wrong)


def fuzz(run: Runner, contract: Contract, calls: int, wrong: int) -> int:
    """Feed a loaded artifact; say what was done last before each thousand calls, and what failed."""
    for number in range(calls):
        rng = np.random.default_rng(number)
        if number % 1000 == 0:
            print(f"in random inputs {number} to {number + 999}", flush=True)
        inputs = random_inputs(contract, rng)
        contract.check(inputs)
        sizes = contract.sizes(inputs)
        for tensor in contract.outputs:
            found = run(inputs)[tensor.name]
            shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in tensor.shape)
            # Source code computes in float64, and says so.
            if found.shape != shape or not np.can_cast(tensor.dtype, found.dtype):
                wanted = f"{tensor.dtype} {shape}"
                print(f"random inputs {number}: {tensor.name} is {found.dtype} {found.shape} instead of {wanted}")
                return 1
    done = 0
    while done < wrong:
        rng = np.random.default_rng(done)
        cases = list(malformed(contract, random_inputs(contract, rng)))
        for number in rng.permutation(len(cases))[: wrong - done]:
            if done % 100 == 0:
                print(f"in malformed inputs {done} to {done + 99}", flush=True)
            case = cases[number]
            try:
                run(dict(case.inputs))
            except Exception:  # loud, of whatever kind
                done += 1
                continue
            print(f"malformed inputs {done} were answered: {case.kind}, {case.where}")
            return 1
    print(f"{calls:,} random inputs were answered, {wrong:,} malformed ones rejected, and nothing died")
    return 0


def random_inputs(contract: Contract, rng: np.random.Generator) -> Arrays:
    """Return inputs that respect a contract: sizes, numbers of any magnitude, integers in their range, any mask."""
    sizes = {}
    for dimension in contract.dimensions:
        low, high = max(dimension.minimum, 1), min(dimension.maximum, 64)
        drawn = int(np.exp(rng.uniform(np.log(low), np.log(max(high, low) + 1))))
        sizes[dimension.name] = dimension.minimum if rng.random() < 0.1 else min(max(drawn, low), dimension.maximum)
    shapes = {t.name: tuple(sizes[a] if isinstance(a, str) else a for a in t.shape) for t in contract.inputs}
    while max(int(np.prod(shape)) for shape in shapes.values()) > ELEMENTS:
        largest = max(contract.dimensions, key=lambda d: sizes[d.name] - d.minimum)
        if sizes[largest.name] <= max(largest.minimum, 1):
            break
        sizes[largest.name] = max(sizes[largest.name] // 2, largest.minimum, 1)
        shapes = {t.name: tuple(sizes[a] if isinstance(a, str) else a for a in t.shape) for t in contract.inputs}
    inputs: Arrays = {}
    for tensor in contract.inputs:
        shape = shapes[tensor.name]
        if tensor.dtype == "bool":
            inputs[tensor.name] = rng.random(shape) < rng.random()
        elif tensor.dtype.startswith(("int", "uint")):
            limit = sizes[tensor.below] if isinstance(tensor.below, str) else tensor.below or 2
            inputs[tensor.name] = rng.integers(0, limit, shape).astype(tensor.dtype)
        else:
            inputs[tensor.name] = random_numbers(rng, shape).astype(tensor.dtype)
    return inputs


def random_numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers of any magnitude, some of them zero, equal, tiny, huge or without a number at all."""
    values = rng.normal(size=shape) * 10.0 ** rng.uniform(-3, 4)
    odd = [0.0, -0.0, 1.0, 1e-45, -1e-38, 1e30, -3e38, np.nan, np.inf]
    chosen = rng.random(shape) < rng.choice([0.0, 0.0, 0.1, 1.0])
    return np.where(chosen, rng.choice(odd, shape), values)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
    sys.exit(main(*map(int, sys.argv[1:])))
