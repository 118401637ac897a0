"""Mutate what the C++ library parses, under AddressSanitizer and UBSan: ``make fuzz-cpp``.

``python bench/fuzz_cpp.py [--parsers manifest,archive] [--cases N] [--seed N] [--first N] [--build FOLDER]``.
Contracts, manifests, archives and frames of the runner are mutated: bits, bytes, pieces cut or doubled, names, nesting.
Each has to be taken, or refused by an error of the library's own, within 10 s. Exits with 1 if anything else came out;
a finding names the case, which ``--first N --cases 1`` repeats. ``workflow/cpp/tests/test_fuzz.cpp`` has the parsers.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/samples"))
import cpp_build
import cpp_samples

PARSERS = ("contract", "manifest", "archive", "frames")
SEED, CASES, CHUNK = 17, 100_000, 10_000
DONE = re.compile(r"^fuzz \w+ seed \d+ first \d+: (\d+) taken, (\d+) refused$", re.MULTILINE)


def main() -> int:
    """Build the tests and give every parser its cases, two parsers at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parsers", default=",".join(PARSERS))
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--build", type=Path, help="folder that is kept, and not built again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelferry-fuzz-") as temporary:
        folder = options.build or Path(temporary)
        samples = folder / "samples"
        if not (samples / "edges.json").exists():
            samples.mkdir(parents=True, exist_ok=True)
            cpp_samples.make(samples)
        program = cpp_build.build(cpp_build.configure(folder / "build"), "modelferry-tests")
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(fuzz, program, samples, name, options.seed, options.first, options.first + options.cases)
                for name in options.parsers.split(",")
            ]
            findings = [finding for run in runs for finding in run.result()]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def fuzz(program: Path, samples: Path, name: str, seed: int, first: int, end: int) -> list[str]:
    """Give a parser its cases, print how many it took, and return what else came out, with the number of each case."""
    started, taken, refused, findings = time.monotonic(), 0, 0, []
    pending = [(begin, min(begin + CHUNK, end)) for begin in range(first, end, CHUNK)]
    while pending:
        begin, stop = pending.pop(0)
        done = run(program, samples, name, seed, begin, stop - begin)
        found = DONE.search(done.stdout)
        if done.returncode == 0 and found:
            taken, refused = taken + int(found[1]), refused + int(found[2])
        elif stop - begin > 1:
            middle = (begin + stop) // 2
            pending[:0] = [(begin, middle), (middle, stop)]
        else:
            findings.append(f"{name} {begin}: ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    seconds = time.monotonic() - started
    cases = f"{end - first} mutations from {first}, seed {seed}"
    print(f"{name}: {cases}: {taken} taken, {refused} refused, {len(findings)} findings, {seconds:.0f} s", flush=True)
    return findings


def run(program: Path, samples: Path, name: str, seed: int, first: int, cases: int) -> subprocess.CompletedProcess[str]:
    """Run some cases in a process of their own."""
    settings = {"SEED": seed, "FIRST": first, "CASES": cases}
    environment = {f"MODELFERRY_FUZZ_{key}": str(value) for key, value in settings.items()}
    environment |= {**cpp_build.SANITIZERS, "MODELFERRY_SAMPLES": str(samples)}
    command = [program, "--test-suite=fuzz", f"--test-case={name}"]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, errors="replace", check=False
    )


if __name__ == "__main__":
    sys.exit(main())
