"""Settings of all tests. The sample modules that they share are in `tests/samples`, which pytest puts on the path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# CI machines are slow and shared: no test may fail for its time.
settings.register_profile("modelferry", deadline=None)
settings.load_profile("modelferry")

# Small networks on many small tests: a second thread only gets in the way. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A config of the person who runs the tests must not reach them.
os.environ.pop("MODELFERRY_CONFIG", None)

TESTS = Path(__file__).parent
SLOW = {
    "cpp": "compiles the C++ library",
    "docs": "executes the pages",
    "e2e": "runs the demo workflow from a clean copy",
    "workflow": "asks Snakemake what would run",
}
"""Files and folders that ``--fast`` leaves out, and what takes their time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-fast`."""
    parser.addoption("--fast", action="store_true", help="leave out the slow files; the first lines say which")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a table that names what is not there."""
    if missing := [name for name in SLOW if not (TESTS / name).exists()]:
        raise pytest.UsageError(f"tests/conftest.py: SLOW names {missing}, which do not exist; remove or rename them")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what is left out."""
    if not config.getoption("--fast"):
        return []
    lines = [f"  tests/{name}: {reason}" for name, reason in SLOW.items()]
    return ["left out by --fast; `make test` runs them:", *lines]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the slow files where that is asked for."""
    if config.getoption("--fast") and any(collection_path == TESTS / name for name in SLOW):
        return True
    return None
