"""Every import of the package in the Python blocks of the pages works."""

from __future__ import annotations

import ast
import importlib

import pytest

from snippets import PAGES, code

IMPORTS = {
    (page, node.module, alias.name)
    for page in PAGES
    for block in code(page, "python")
    for node in ast.walk(ast.parse(block))
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "modelferry"
    for alias in node.names
}


@pytest.mark.parametrize(("page", "module", "name"), sorted(IMPORTS))
def test_import_in_a_page_works(page: str, module: str, name: str) -> None:
    found = importlib.import_module(module)
    assert hasattr(found, name) or importlib.import_module(f"{module}.{name}"), page
