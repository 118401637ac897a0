"""The example of docs/python-api.md runs; what the page says about names is what is there."""

from __future__ import annotations

import inspect
import re
import runpy
import tempfile
from pathlib import Path

import pytest

import modelferry
from modelferry.core import errors

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/python-api.md").read_text()


def test_example_runs_cell_by_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    source = (ROOT / "examples/python-api.py").read_text()
    assert source.count("# %% ") >= 5
    runpy.run_path(str(ROOT / "examples/python-api.py"))
    printed = capsys.readouterr().out
    assert printed.count("the same (") == 3
    assert re.search(r"different: 'output': \d+ of \d+ values differ from the reference by up to 0.001 ", printed)
    assert "axis 1 has size 7; expected 8" in printed


def test_table_of_errors_names_all_that_there_are() -> None:
    table = DOCUMENT[DOCUMENT.index("| error | when |") :]
    documented = set(re.findall(r"`(\w+Error)`", table))
    classes = {n for n, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.ModelferryError)}
    assert documented == classes - {"ModelferryError", "EventFileError"}


@pytest.mark.parametrize("name", ["export", "validate", "export_checkpoint", "compare", "load_checkpoint"])
def test_table_of_verbs_has_parameters_that_exist(name: str) -> None:
    shown = re.search(rf"\| `{name}\((.*?)\)` \|", DOCUMENT)
    assert shown
    known = inspect.signature(getattr(modelferry, name)).parameters
    assert set(re.findall(r"(\w+)=…", shown[1])) <= set(known)
