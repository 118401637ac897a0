"""Jobs of an earlier run neither write beside the next one nor leave failures that are none."""

from pathlib import Path

import pytest

from modelferry.core import paths
from modelferry.core.errors import ModelferryError
from modelferry.core.files import write_text
from modelferry.core.running import RUN, job, superseded


def test_a_run_is_superseded_by_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert superseded("first"), "there is no run at all"
    write_text(paths.CURRENT_RUN, "first")
    assert not superseded("first")
    write_text(paths.CURRENT_RUN, "second")
    assert superseded("first")


def test_a_job_that_starts_after_its_run_was_superseded_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(paths.CURRENT_RUN, "second")
    with job():  # of no run: by hand
        pass
    monkeypatch.setenv(RUN, "second")
    with job():
        pass
    monkeypatch.setenv(RUN, "first")
    with pytest.raises(ModelferryError, match="another run than first has begun"), job():
        pytest.fail("a job of the first run works beside those of the second")
