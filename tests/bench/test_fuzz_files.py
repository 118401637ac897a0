"""A short run of the fuzzer of files: it finds nothing, and what it looks for it would find."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from modelferry.core.errors import CheckpointError

SCRIPT = Path(__file__).resolve().parents[2] / "bench/fuzz_files.py"
CASES = 25


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_files", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mutated_files_are_taken_or_refused_in_one_line(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    command = [sys.executable, str(SCRIPT), "--cases", str(CASES), "--state", str(state)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-2000:]
    assert run.stdout.count(f": {CASES} mutated files") == 7
    again = subprocess.run(command, capture_output=True, text=True)  # all of it was done
    assert again.stdout == run.stdout


def test_a_case_is_the_same_whenever_it_is_made(script: ModuleType) -> None:
    import random

    first, second = (script.mutated(random.Random("17:json:3"), b'{"a": [1, 2]}', [b"xyz"]) for _ in range(2))
    assert first == second != b'{"a": [1, 2]}'


def tedious(path: Path) -> None:
    end = time.process_time() + 2.5
    while time.process_time() < end:
        pass


def wordy(path: Path) -> None:
    raise CheckpointError("one\ntwo")


def broken(path: Path) -> None:
    raise RecursionError("deep")


@pytest.mark.parametrize(
    ("read", "wanted"),
    [(tedious, "it took 2"), (wordy, "said"), (broken, "RecursionError: deep"), (lambda path: None, "taken")],
)
def test_what_takes_long_or_says_more_than_a_line_is_found(
    read: Callable[[Path], None], wanted: str, script: ModuleType
) -> None:
    assert script.outcome_of(read, Path("x"), []).startswith(wanted)


def test_code_that_a_file_runs_is_found(script: ModuleType) -> None:
    ran: list[str] = []
    assert script.outcome_of(lambda path: ran.append("os.system"), Path("x"), ran) == "it ran ['os.system']"
