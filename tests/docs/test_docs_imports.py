"""Every import of the package in the Python blocks of the pages works."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
IMPORTS = {
    (page.relative_to(ROOT).as_posix(), node.module, alias.name)
    for page in PAGES
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    for node in ast.walk(ast.parse(textwrap.dedent(block)))
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "modelferry"
    for alias in node.names
}


@pytest.mark.parametrize(("page", "module", "name"), sorted(IMPORTS))
def test_import_in_a_page_works(page: str, module: str, name: str) -> None:
    found = importlib.import_module(module)
    assert hasattr(found, name) or importlib.import_module(f"{module}.{name}"), page
