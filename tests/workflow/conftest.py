"""Runs that are made once for all test processes, and copied by the tests that ask what would run next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chunk_samples import QUICK, save_byte_cnn
from made_once import made_once
from workflow_harness import Folder

CONFIG: dict[str, Any] = {
    "campaigns": {
        "alpha": {
            **QUICK,
            "axes": {"channel": ["Run3Mu"], "fold": [0, 1]},
            "checkpoint": "weights/{channel}-{fold}.pt",
        },
        "beta": {**QUICK, "axes": {"signal": ["MHc100"]}, "checkpoint": "weights/{signal}-*.pt"},
    }
}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two campaigns, three models, all of them passed. Never to be changed."""

    def make(root: Path) -> None:
        folder = Folder.fresh(root / "workflow", CONFIG)
        for seed, name in enumerate(("Run3Mu-0", "Run3Mu-1", "MHc100-best")):
            save_byte_cnn(folder.path / f"weights/{name}.pt", seed)
        folder.run()

    return Folder(made_once(tmp_path_factory, "finished", make) / "workflow")


@pytest.fixture
def done(finished: Folder, tmp_path: Path) -> Folder:
    """A copy of the finished run."""
    return finished.copy(tmp_path / "done")


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Folder]:
    """Make a folder in which nothing has run."""

    def make(config: dict[str, Any] = CONFIG) -> Folder:
        return Folder.fresh(tmp_path / "fresh", config)

    return make
