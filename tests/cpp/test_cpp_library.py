"""The C++ library's own tests, built with AddressSanitizer and UBSan, and run by ctest."""

import os
import subprocess
import sys
from pathlib import Path

from modelferry.runtimes.native import build as cpp

SUITES = {"artifact", "contract", "edges", "late", "model", "scores", "soa", "threading"}
# libtorch is not instrumented: what it allocates for good, and containers that it changes, are not ours to judge.
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=0:detect_container_overflow=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def test_cpp_tests_pass_clean_under_sanitizers(samples: Path, tmp_path: Path) -> None:
    cmake = cpp._cmake()
    assert cmake
    options = [f"-DPython_EXECUTABLE={sys.executable}", "-DMODELFERRY_TESTS=ON", "-DMODELFERRY_SANITIZE=ON"]
    build = tmp_path / "build"
    for command in (
        [cmake, "-S", cpp.SOURCES, "-B", build, "-DCMAKE_BUILD_TYPE=Debug", *options],
        [cmake, "--build", build, "--target", "modelferry-tests"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    tests = subprocess.run(
        [Path(cmake).with_name("ctest"), "--output-on-failure"],
        cwd=build,
        env={**os.environ, **SANITIZERS, "MODELFERRY_SAMPLES": str(samples)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout[-6000:]
    assert {line.split()[3] for line in tests.stdout.splitlines() if " Passed " in line} == SUITES
