"""What the C++ tests share, made once for all test processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

import cpp_samples
from modelferry.runtimes.native import build


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := build.unavailable():
        pytest.skip(f"cpp: {reason}")
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    folder = root / "cpp-samples"
    with FileLock(root / "cpp-samples.lock"):
        if not (folder / "edges.json").exists():
            folder.mkdir(exist_ok=True)
            cpp_samples.make(folder)
    return folder
