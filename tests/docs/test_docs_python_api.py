"""The notebook of docs/python-api.md runs; what the page says about names is what is there."""

from __future__ import annotations

import ast
import inspect
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

import modelferry
from modelferry.core import errors

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/python-api.md").read_text()


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; return what a notebook shows of it, the value of its last line."""
    *statements, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        return exec(source, names)
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_notebook_runs_cell_by_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    notebook = json.loads((ROOT / "examples/python-api.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    values = [value for cell in cells if (value := shown(cell, names)) is not None]
    artifacts, artifact, contract, comparison = values
    assert [one.format for one in artifacts] == ["onnx", "torch_export", "torchscript"]
    assert all(one.comparison for one in artifacts)
    for value in (artifact, contract, comparison):
        assert len(repr(value).splitlines()) == 1
        assert value._repr_html_().count("<table>") == (3 if value is artifact else 1)
    assert re.search(
        r"different: 'output': \d+ of \d+ values differ from the reference by up to 0.001 ", repr(comparison)
    )
    printed = capsys.readouterr().out
    assert "µs an event" in printed
    assert "axis 1 has size 7; expected 8" in printed
    assert all(not cell.get("outputs") for cell in notebook["cells"]), "its outputs differ from machine to machine"


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
