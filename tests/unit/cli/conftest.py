import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from checkpoint_samples import save_checkpoint
from cli_samples import write_config
from made_once import made_once
from modelferry.cli.main import main
from modelferry.cli.parser import default_log


@pytest.fixture(autouse=True)
def no_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tracebacks out of the home folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models exported and one of them validated. Never to be changed."""

    def make(root: Path) -> None:
        before = Path.cwd()
        try:
            os.chdir(root)
            write_config(root)
            for fold in (3, 4):
                save_checkpoint(root / f"weights/Run3Mu-{fold}.pt", 16, salt=str(fold))
            assert main(["export", "--all"]) == 0
            assert main(["validate", "--fold", "3"]) == 0
        finally:
            os.chdir(before)

    return made_once(tmp_path_factory, "exported", make)


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
        log = Path(default_log(None))
        if logged:
            assert "Traceback" in log.read_text()
        return lines[0]

    return run
