"""Canonical digests: of values, of files, and of the code that a stage of the workflow runs."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "modelferry"
ROOT = Path(__file__).parents[1]


def canonical_json(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any, length: int = 64) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def sha256_of_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:  # noqa: PTH123 - hashlib wants a raw file object
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest(*modules: str) -> str:
    """Return a digest of the source of `modules` and of all that they import from modelferry or the working folder.

    Imports inside functions count; those under ``TYPE_CHECKING`` run nothing and do not.
    """
    sources = {name: path.read_bytes() for name, path in _closure(modules).items()}
    parts = {name: hashlib.sha256(source).hexdigest() for name, source in sources.items()}
    return digest_of(parts, 16)


def _closure(modules: Iterable[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    pending = list(modules)
    while pending:
        name = pending.pop()
        path = _source(name)
        if name in found or path is None:
            continue
        found[name] = path
        pending += [name for name in _imports(path) if _is_ours(name)]
    return found


def _is_ours(name: str) -> bool:
    """Return whether a module is modelferry's, or lies in the folder in which the workflow runs."""
    return name.split(".")[0] == PACKAGE or _file_below(Path.cwd(), name.split(".")) is not None


@cache
def _source(module: str) -> Path | None:
    first, *rest = module.split(".")
    found = _file_below(ROOT, rest) if first == PACKAGE else _file_below(Path.cwd(), [first, *rest])
    if found is not None or first == PACKAGE:
        return found
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None


def _file_below(folder: Path, parts: Sequence[str]) -> Path | None:
    base = folder.joinpath(*parts)
    candidates = (base.with_name(base.name + ".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not _is_for_type_checker(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def _is_for_type_checker(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
