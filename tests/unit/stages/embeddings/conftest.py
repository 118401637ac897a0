from pathlib import Path

import pytest

from embedding_samples import stub

__all__ = ["stub"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of the test's own: plans name files in the working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
