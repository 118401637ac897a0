import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoint_samples import save_checkpoint
from cli_samples import write_config
from modelferry.cli.main import main


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models exported and one of them validated."""
    made = tmp_path_factory.mktemp("exported")
    before = Path.cwd()
    try:
        os.chdir(made)
        write_config(made)
        for fold in (3, 4):
            save_checkpoint(made / f"weights/Run3Mu-{fold}.pt", 16, salt=str(fold))
        assert main(["export", "--all"]) == 0
        assert main(["validate", "--fold", "3"]) == 0
    finally:
        os.chdir(before)
    return made


@pytest.fixture
def done(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = tmp_path / "done"
    shutil.copytree(exported, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with one line, and return the line."""

    def run(*arguments: str, logged: bool = True) -> str:
        code = main([*arguments])
        captured = capsys.readouterr()
        assert code != 0
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1, f"{len(lines)} lines, the first: {lines[:1]}"
        assert lines[0].startswith("error: ")
        assert "Traceback" not in captured.out
        log = Path("logs/modelferry.log")
        if logged:
            assert "Traceback" in log.read_text()
        return lines[0]

    return run
