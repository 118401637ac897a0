"""Where something was made."""

import subprocess
from pathlib import Path

import pytest

from modelferry.core import environment


def test_the_commit_of_the_working_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.commit() == ""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    Path("config.yaml").write_text("a")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "a"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert environment.commit() == head
    Path("config.yaml").write_text("b")
    assert environment.commit() == f"{head}, with changes since"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.commit() == ""
