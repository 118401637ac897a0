"""What the C++ tests share, made once for all test processes."""

from __future__ import annotations

from pathlib import Path

import pytest

import cpp_samples
from made_once import made_once
from modelferry.runtimes.native import build


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := build.unavailable():
        pytest.skip(f"cpp: {reason}")
    return made_once(tmp_path_factory, "cpp-samples", cpp_samples.make)
