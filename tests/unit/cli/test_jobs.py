"""What the parts of a stage leave behind."""

import argparse
from pathlib import Path

import pytest

from modelferry.cli.jobs import in_parts
from modelferry.core import paths
from modelferry.plan.stages import VALIDATE


def run(error: Exception) -> bool:
    def part() -> list[str]:
        raise error

    options = argparse.Namespace(log="logs/validate.log")
    return in_parts(VALIDATE, "alpha/one", {"torchscript": part}, options, whole=True)


def test_a_part_that_fails_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not run(ValueError("broken"))
    assert Path(paths.outcome("alpha/one", VALIDATE.rule)).is_file()
    assert Path(paths.failure(VALIDATE.failure, "alpha/one", "torchscript")).is_file()


def test_a_reader_that_is_gone_is_no_failure_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrokenPipeError):
        run(BrokenPipeError())
    assert not Path(paths.outcome("alpha/one", VALIDATE.rule)).exists()
    assert not Path(paths.failure(VALIDATE.failure, "alpha/one", "torchscript")).exists()
