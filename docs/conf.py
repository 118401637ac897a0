"""The documentation as a site: `make docs`. Pages of commands, of records and of the Python API come from the code."""

from __future__ import annotations

import argparse
import inspect
import json
import re
from pathlib import Path
from typing import Any

from pygments.lexers import PythonLexer

import modelferry
from modelferry.cli.main import _parser

HERE = Path(__file__).parent
ROOT = HERE.parent
GENERATED = HERE / "generated"

project = "modelferry"
author = "the modelferry developers"
release = modelferry.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"modelferry {release}"
exclude_patterns = ["_build", "images"]
default_role = "code"
suppress_warnings = ["misc.highlighting_failure"]  # CSV is shown as it is
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
napoleon_use_ivar = True
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def _api() -> str:
    """Return a page of all public names."""
    parts = [_title("Python API"), "All of `modelferry`'s public names.\n"]
    for name in modelferry.__all__:
        found = getattr(modelferry, name)
        if inspect.isclass(found):
            parts.append(f".. autoclass:: modelferry.{name}\n   :members:\n   :exclude-members: model_config\n")
        elif callable(found):
            parts.append(f".. autofunction:: modelferry.{name}\n")
    return "\n".join(parts)


def _indented(text: str) -> str:
    return "".join(f"   {line}\n" if line else "\n" for line in text.splitlines())


def _commands() -> str:
    """Return a page of all commands, with their own help."""
    parts = [_title("Commands"), "What `modelferry COMMAND --help` prints.\n"]
    subparsers = next(action for action in _parser([])._actions if isinstance(action.choices, dict))
    for name, parser in subparsers.choices.items():
        parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
        parts += [_title(name, "-"), ".. code-block:: text\n", _indented(parser.format_help())]
    return "\n".join(parts)


def _kind(field: dict[str, Any]) -> str:
    """Return the type of a field as JSON schemas have it."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_kind(one) for one in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "list"
    return " or ".join(map(repr, field["enum"])) if "enum" in field else str(field.get("type", "anything"))


def _fields(schema: dict[str, Any]) -> str:
    lines = [inspect.cleandoc(schema.get("description", "")), "", ".. list-table::", "   :header-rows: 1", ""]
    lines += ["   * - field", "     - type"]
    for name, field in schema.get("properties", {}).items():
        lines += [f"   * - ``{name}``", f"     - {_kind(field)}"]
    return "\n".join(lines) + "\n"


def _records() -> str:
    """Return a page of all records: what each file holds, and its parts."""
    parts = [_title("Records"), "The JSON files that the workflow writes; `workflow/schemas` has their schemas.\n"]
    known: dict[str, dict[str, Any]] = {}
    for path in sorted((ROOT / "workflow" / "schemas").glob("*.schema.json")):
        schema = json.loads(path.read_text())
        if path.name == "config.schema.json":
            continue
        parts += [_title(path.name.removesuffix(".schema.json"), "-"), _fields(schema)]
        known |= schema.get("$defs", {})
    parts += [_title("Parts of records", "-")]
    for name, schema in sorted(known.items()):
        parts += [_title(name, "~"), _fields(schema)]
    return "\n".join(parts)


def _generate(app: Any) -> None:
    GENERATED.mkdir(exist_ok=True)
    for name, write in {"api": _api, "commands": _commands, "records": _records}.items():
        (GENERATED / f"{name}.rst").write_text(write())


OUTSIDE = re.compile(r"\]\((?:\.\./)?(CONTRIBUTING|CHANGELOG|README|SECURITY)\.md(#[^)]*)?\)")
PAGES = {"CONTRIBUTING": "contributing.md", "CHANGELOG": "changes.md", "SECURITY": "security.md", "README": "readme.md"}
FILES = re.compile(r"\[([^\]]*)\]\((?:examples|bench|workflow)/[^)]*\)")


def _relinked(text: str) -> str:
    """Let links that lead out of this folder, as on GitHub, lead to the site's own pages, or nowhere."""
    text = OUTSIDE.sub(lambda found: f"]({PAGES[found[1]]}{found[2] or ''})", text)
    return FILES.sub(lambda found: found[1], text)


def _relink(app: Any, name: str, source: list[str]) -> None:
    source[0] = _relinked(source[0])


def _relink_included(app: Any, path: Path, parent: str, source: list[str]) -> None:
    source[0] = _relinked(source[0])


def setup(app: Any) -> None:
    """Write the pages that come from the code, and follow links out of the folder."""
    app.add_lexer("snakemake", PythonLexer)
    app.connect("builder-inited", _generate)
    app.connect("source-read", _relink)
    app.connect("include-read", _relink_included)
