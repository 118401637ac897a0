"""Building the C++ runtime of ``workflow/cpp``: once for each state of its sources, PyTorch and compiler.

What is built is kept in a cache of the user's, so that no clone and no folder builds it again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from modelferry.core import paths
from modelferry.core.digests import digest_of, sha256_of_file
from modelferry.core.environment import compiler, installed
from modelferry.core.errors import ArtifactError
from modelferry.core.files import temporary_name
from modelferry.core.installation import CPP_SOURCES
from modelferry.runtimes.shared.cache import cache_folder, one_at_a_time

RUNNER = "bin/modelferry-run"
NOT_BUILT_FROM = ("tests", "bench")
"""Folders of the sources that make no difference to the library and the runner."""
STAGE = "build_cpp"


def unavailable() -> str:
    """Return what is missing to build the C++ runtime, and what to install; empty if nothing is."""
    if not (CPP_SOURCES / "CMakeLists.txt").is_file():
        return f"no C++ sources in {CPP_SOURCES}; install modelferry again"
    if shutil.which(compiler()) is None:
        return "no C++ compiler; install g++ and cmake"
    if _cmake() is None:
        return "no CMake; install g++ and cmake"
    if find_spec("nlohmann_json") is None:
        return "no JSON parser for C++; pip install nlohmann-json"
    return ""


@cache
def key() -> str:
    """Return a digest of all that decides what is built: sources, libtorch and where it is, and the compiler."""
    files = sorted(path for path in CPP_SOURCES.rglob("*") if path.is_file())
    sources = {
        name.as_posix(): sha256_of_file(path)
        for path in files
        if (name := path.relative_to(CPP_SOURCES)).parts[0] not in NOT_BUILT_FROM
    }
    made_with = [installed(["torch", "nlohmann-json"]), str(distribution("torch").locate_file("torch"))]
    version = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=False).stdout
    return digest_of([sources, made_with, version], 16)


def runner() -> Path:
    """Return the program that executes artifacts: the workflow's, or the one in the cache, built if need be."""
    of_workflow = Path(paths.cpp_runner(key()))
    if of_workflow.is_file():
        return of_workflow
    if Path(paths.outcome(f"runtimes/cpp-{key()}", STAGE)).is_file():
        raise ArtifactError("the C++ runtime could not be built", f"see logs/{STAGE}.log, and `modelferry doctor`")
    return build() / RUNNER


def install() -> Path:
    """Put the build where the workflow expects it, and return the folder: `bin`, `lib` and `include`."""
    built, runner = build(), Path(paths.cpp_runner(key()))
    prefix = runner.parents[1]
    temporary = temporary_name(prefix)
    shutil.copytree(built, temporary)
    shutil.rmtree(prefix, ignore_errors=True)
    temporary.rename(prefix)
    return prefix


def build() -> Path:
    """Return the folder with the built runtime in the cache, building it if it is not there.

    Raises
    ------
    ArtifactError
        If something is missing, or the compiler fails.
    """
    if reason := unavailable():
        raise ArtifactError(f"the C++ runtime cannot be built: {reason}")
    prefix = cache_folder() / f"cpp-{key()}"
    with one_at_a_time(prefix):
        if not (prefix / RUNNER).is_file():
            shutil.rmtree(prefix, ignore_errors=True)
            _build(prefix)
    return prefix


def _build(prefix: Path) -> None:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="modelferry-cpp-") as folder:
        made, installed_to = Path(folder) / "build", temporary_name(prefix)
        python = f"-DPython_EXECUTABLE={sys.executable}"
        _cmake_run("-S", str(CPP_SOURCES), "-B", str(made), python, f"-DCMAKE_CXX_COMPILER={compiler()}")
        _cmake_run("--build", str(made), "--parallel", str(len(os.sched_getaffinity(0))))
        _cmake_run("--install", str(made), "--prefix", str(installed_to))
        installed_to.rename(prefix)
    print(f"C++ runtime built in {time.perf_counter() - started:.1f} s", flush=True)


def _cmake_run(*arguments: str) -> None:
    done = subprocess.run([str(_cmake()), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        lines = (done.stdout + done.stderr).splitlines()
        reason = next((line.strip() for line in lines if "error" in line.lower()), f"cmake {arguments[0]} failed")
        raise ArtifactError(f"the C++ runtime does not build: {reason}", "see the log, and `modelferry doctor`")


def _cmake() -> str | None:
    """Return CMake, first of all the one that pip has put beside Python."""
    return shutil.which("cmake", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
