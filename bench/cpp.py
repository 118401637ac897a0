"""Measure what docs/cpp.md claims: `.venv/bin/python bench/cpp.py ARTIFACT…`, artifacts of the dense layout.

Columns as a tensor against a copy of them, and the throughput of eight threads on one model against that of one. The
machine must be idle meanwhile: the second core has to be free.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from modelferry.core.installation import CPP_SOURCES


def main(artifacts: list[str]) -> int:
    """Build the benchmark with the library, run it, and print its figures."""
    with tempfile.TemporaryDirectory(prefix="modelferry-bench-") as folder:
        options = [f"-DPython_EXECUTABLE={sys.executable}", "-DMODELFERRY_TESTS=ON"]
        subprocess.run(["cmake", "-S", CPP_SOURCES, "-B", folder, *options], check=True, capture_output=True)
        target = ["--target", "modelferry-claims", "--parallel", "2"]
        subprocess.run(["cmake", "--build", folder, *target], check=True, capture_output=True)
        command = [Path(folder) / "tests/modelferry-claims", *artifacts]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ratios: dict[str, list[float]] = {}
    for line in printed.splitlines():
        kind, *values = line.split()
        if kind == "view":
            rows, viewed, copied, same = values
            print(f"{rows} rows: view {viewed} µs, copy {copied} µs, {'same' if same == '1' else 'OTHER'} memory")
        else:
            ratios.setdefault(values[0], []).append(float(values[2]) / float(values[1]))
    for artifact, found in ratios.items():
        print(f"{artifact}: eight threads {median(found):.2f} × one (best {max(found):.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
