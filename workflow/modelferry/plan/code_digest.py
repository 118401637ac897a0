"""Digests of what code does: over syntax trees, so that comments, docstrings and formatting do not count."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGE = "modelferry"
ROOT = Path(__file__).parents[1]
UNCOUNTED = frozenset({PACKAGE, f"{PACKAGE}.version", f"{PACKAGE}.core.paths"})
"""Modules that decide no outcome: the public names, the version, and file names, which Snakemake compares itself."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


@cache
def code_of(*modules: str) -> Mapping[str, str]:
    """Return a digest by file of the code of `modules` and of all that they import from modelferry or this folder.

    Imports inside functions count, and so do the packages that a module lies in: all of it is executed. Imports under
    ``TYPE_CHECKING`` execute nothing. Files of modelferry are named from the package, others from the working folder.
    """
    digests = {_label(name, path): _read(name, path)[0] for name, path in _closure(modules, Path.cwd()).items()}
    return {file: digest for file, digest in sorted(digests.items()) if digest}


def modules_of(*modules: str) -> list[str]:
    """Return `modules` and all modules of modelferry that they import, in functions too."""
    return [name for name in _closure(modules, Path.cwd()) if name in modules or name.split(".")[0] == PACKAGE]


def digest_of_source(source: bytes) -> str:
    """Return a digest of the syntax tree without comments, docstrings and formatting; empty if nothing is left."""
    tree = ast.parse(source)
    list(_statements(tree))
    return _digest(tree)


def _closure(modules: Iterable[str], folder: Path) -> dict[str, Path]:
    reached = {name: path for name in modules if (path := _source(name, folder) or _elsewhere(name))}
    pending = list(reached)
    while pending:
        name = pending.pop()
        for imported in (*_packages(name), *_read(name, reached[name])[1]):
            path = None if imported in reached or imported in UNCOUNTED else _source(imported, folder)
            if path is not None:
                reached[imported] = path
                pending.append(imported)
    return reached


@cache
def _source(module: str, folder: Path) -> Path | None:
    """Return the file of a module of modelferry, or of one in the folder in which the workflow runs."""
    first, *rest = module.split(".")
    base = ROOT.joinpath(*rest) if first == PACKAGE else folder.joinpath(first, *rest)
    candidates = (base.with_name(base.name + ".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _elsewhere(module: str) -> Path | None:
    """Return the file of an installed module."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None


def _label(module: str, path: Path) -> str:
    if module.split(".")[0] == PACKAGE:
        return path.relative_to(ROOT).as_posix()
    return f"./{path.relative_to(Path.cwd()).as_posix()}" if path.is_relative_to(Path.cwd()) else module


@cache
def _read(module: str, path: Path) -> tuple[str, tuple[str, ...]]:
    """Return the digest of a file and the modules that it imports; of what is not Python, the digest of its bytes."""
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return hashlib.sha256(source).hexdigest()[:12], ()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports = [name for statement in _statements(tree) for name in _imports(statement, package)]
    return _digest(tree), tuple(dict.fromkeys(imports))


def _digest(tree: ast.Module) -> str:
    return hashlib.sha256(ast.dump(tree, annotate_fields=False).encode()).hexdigest()[:12] if tree.body else ""


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements below a node, and remove those that execute nothing."""
    for name in BLOCKS:
        block = getattr(node, name, [])
        block[:] = [kept for statement in block for kept in _executed(statement)]
        for statement in block:
            yield statement
            yield from _statements(statement)


def _executed(statement: ast.AST) -> list[ast.AST]:
    """Return what a statement executes: nothing for a docstring, also one of an attribute, or for type checkers."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return []
    if isinstance(statement, ast.If):
        test = statement.test
        if getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING":
            return list(statement.orelse)
    return [statement]


def _imports(statement: ast.AST, package: str) -> Iterator[str]:
    """Yield the modules that a statement may import, with the packages that they lie in."""
    modules: list[str] = []
    if isinstance(statement, ast.Import):
        modules = [alias.name for alias in statement.names]
    elif isinstance(statement, ast.ImportFrom):
        above = package.split(".")[: package.count(".") + 2 - statement.level] if statement.level else []
        base = ".".join([*above, *([statement.module] if statement.module else [])])
        modules = [base, *(f"{base}.{alias.name}" for alias in statement.names)]
    for module in modules:
        yield module
        yield from _packages(module)


def _packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]
