"""No shell reads a name as code: every placeholder of every rule is quoted, and nothing else starts a shell."""

from __future__ import annotations

import ast
import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake.utils
from snakemake.iocontainers import Log, Wildcards
from snakemake.parser import parse
from snakemake.sourcecache import LocalSourceFile

ROOT = Path(__file__).resolve().parents[2]
FILES = (ROOT / "workflow/Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk")))
HOSTILE = (
    "$(touch PWNED)", "`touch PWNED`", "a; touch PWNED #", "a' ; touch PWNED '", 'a" ; touch PWNED "', "a\ntouch PWNED",
)  # fmt: skip
RULE = 'rule planted:\n    log:\n        "x.log",\n    shell:\n        {command}\n'
EXECUTORS = ("shell", "shellcmd", "system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell")


def commands(path: Path) -> list[ast.expr]:
    """Return what the rules and handlers of a file pass to a shell, by Snakemake's own parser."""
    workflow: Any = SimpleNamespace(sourcecache=SimpleNamespace(open=lambda source: io.StringIO(path.read_text())))
    code, _ = parse(LocalSourceFile(str(path)), workflow, {})
    return [command for call in calls(ast.parse(code), "shell") for command in call.args]


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Return the calls of functions or methods with one of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in names:
                yield node


def unquoted(command: ast.expr) -> list[str]:
    """Return the placeholders of a command that a shell would read as code; a computed command is one as a whole."""
    if not isinstance(command, ast.Constant) or not isinstance(command.value, str):
        return [ast.unparse(command)]
    fields = [(name, form, how) for _, name, form, how in Formatter().parse(command.value) if name is not None]
    return [name for name, form, how in fields if form != "q" or how]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_placeholder_of_every_rule_is_quoted(path: Path) -> None:
    assert [name for command in commands(path) for name in unquoted(command)] == []


def test_all_rules_are_read() -> None:
    rules = sum(path.read_text().count("shell:\n") + path.read_text().count("shell(") for path in FILES)
    assert sum(len(commands(path)) for path in FILES) == rules > 12


@pytest.mark.parametrize(("command", "refused"), [
    ('"cat {log:q}"', []),
    ('"cat {log}"', ["log"]),
    ('"cat {log:q} " "{wildcards.x}"', ["wildcards.x"]),
    ('"cat \'{log}\'"', ["log"]),
    ('"cat {log!r:q}"', ["log"]),
    ('"cat " + PLAN.name', ["'cat ' + PLAN.name"]),
    ('f"cat {PLAN.name:q}"', ["f'cat {PLAN.name:q}'"]),
])  # fmt: skip
def test_a_planted_placeholder_is_refused(tmp_path: Path, command: str, refused: list[str]) -> None:
    path = tmp_path / "planted.smk"
    path.write_text(RULE.format(command=command))
    assert [name for found in commands(path) for name in unquoted(found)] == refused


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_an_argument_and_never_code(tmp_path: Path, name: str) -> None:
    rules = [command for path in FILES for command in commands(path) if "{" in ast.unparse(command)]
    for command in rules:
        assert isinstance(command, ast.Constant)
        fields = {field for _, field, _, _ in Formatter().parse(str(command.value)) if field and "." in field}
        values = Wildcards(fromdict={field.partition(".")[2]: name for field in fields})
        shell = snakemake.utils.format(str(command.value), log=Log([name]), wildcards=values, params=values)
        (tmp_path / "modelferry").write_text('#!/bin/sh\nprintf "%s\\0" "$@" > arguments\n')
        (tmp_path / "modelferry").chmod(0o755)
        subprocess.run(["bash", "-c", f"PATH=.:$PATH; {shell}"], cwd=tmp_path, check=True)
        assert not (tmp_path / "PWNED").exists()
        given = (tmp_path / "arguments").read_text().split("\0")
        assert sum(argument.count(name) for argument in given) == 1 + len(fields)


def test_the_package_starts_no_shell() -> None:
    found = []
    for path in sorted((ROOT / "workflow/modelferry").rglob("*.py")):
        tree = ast.parse(path.read_text())
        found += [f"{path}: {ast.unparse(call)}" for call in calls(tree, *EXECUTORS)]
        keywords = (node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "shell")
        found += [f"{path}: {ast.unparse(keyword)}" for keyword in keywords]
    assert found == []
