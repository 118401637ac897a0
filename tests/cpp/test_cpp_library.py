"""The C++ library's own tests with AddressSanitizer and UBSan, and its own code with ThreadSanitizer."""

import os
import subprocess
from pathlib import Path

import pytest

import cpp_build

SUITES = {"artifact", "contract", "edges", "frames", "fuzz", "late", "model", "scores", "soa", "threading"}


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cpp_build.configure(tmp_path_factory.mktemp("sanitized"))


def test_cpp_tests_pass_clean_under_sanitizers(samples: Path, configured: Path) -> None:
    tests = cpp_build.build(configured, "modelferry-tests")
    ctest = subprocess.run(
        [cpp_build.cmake().with_name("ctest"), "--output-on-failure"],
        cwd=configured,
        env={**os.environ, **cpp_build.SANITIZERS, "MODELFERRY_SAMPLES": str(samples)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ctest.returncode == 0, ctest.stdout[-6000:]
    assert tests.is_file()
    assert {line.split()[3] for line in ctest.stdout.splitlines() if " Passed " in line} == SUITES


def test_threads_that_open_and_call_models_have_no_race(samples: Path, configured: Path) -> None:
    program = cpp_build.build(configured, "modelferry-threads")
    command = [program, samples / "identity.pt"]
    environment = {**os.environ, **cpp_build.SANITIZERS}
    clean = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert clean.returncode == 0, clean.stderr[-6000:]
    assert clean.stdout == "4 threads opened 20 models and called one 800 times\n"
    assert not clean.stderr
    racing = subprocess.run([*command, "race"], env=environment, capture_output=True, text=True, check=False)
    assert "WARNING: ThreadSanitizer: data race" in racing.stderr
    assert "threads.cpp" in racing.stderr
    assert racing.returncode != 0
