"""Building the C++ tests with sanitizers, for the tests and for ``bench/fuzz_cpp.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from modelferry.core.installation import CPP_SOURCES
from modelferry.runtimes.native import build as native

SANITIZERS = {
    # libtorch is not instrumented: what it allocates for good, containers that it changes, and locks that it takes are
    # not ours to judge. Too large an allocation gives null, as it does without a sanitizer.
    "ASAN_OPTIONS": "detect_leaks=0:detect_container_overflow=0:allocator_may_return_null=1:handle_abort=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "ignore_noninstrumented_modules=1",
}


def cmake() -> Path:
    """Return CMake."""
    found = native._cmake()
    assert found
    return Path(found)


def configure(folder: Path) -> Path:
    """Prepare a build in `folder`, and return it."""
    options = [f"-DPython_EXECUTABLE={sys.executable}", "-DMODELFERRY_TESTS=ON", "-DCMAKE_BUILD_TYPE=Debug"]
    options.append("-DMODELFERRY_SANITIZE=address,undefined,float-cast-overflow")
    _run(cmake(), "-S", CPP_SOURCES, "-B", folder, *options)
    return folder


def build(folder: Path, target: str) -> Path:
    """Build a program in a folder that is configured, and return its path."""
    _run(cmake(), "--build", folder, "--target", target)
    return folder / "tests" / target


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
