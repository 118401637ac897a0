"""The rooms of the package: which may import which, and that generic rooms know no family and no format by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelferry

ROOT = Path(modelferry.__file__).parent
FLOORS = (
    ("core",),
    ("checkpoints", "records", "comparison"),
    ("families",),
    ("formats", "demo"),
    ("runtimes",),
    ("testing",),
    ("config",),
    ("plan",),
    ("stages",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
EXCEPTIONS = {"api": {"core", "comparison", "checkpoints", "formats"}, "demo": {"core", "checkpoints", "records"}}
"""What rooms that have no floor of their own may import, and what goes before the floors."""
GENERIC = ("core", "records", "comparison", "config", "plan", "stages", "cli", "api")


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT), path.read_text()


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and module of all imports from the package: those in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names if a.name.startswith("modelferry."))
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield node.lineno, "modelferry." + "." * node.level
            elif node.module == "modelferry":
                yield from ((node.lineno, f"modelferry.{alias.name}") for alias in node.names)
            elif node.module and node.module.startswith("modelferry."):
                yield node.lineno, node.module


def broken_rules(file: Path, source: str) -> Iterator[str]:
    """Yield file, line and rule of each import that goes where it must not."""
    room, below = file.parts[0], FLOOR.get(file.parts[0], len(FLOORS))
    if len(file.parts) == 1:  # the package itself hands out the public names
        return
    for line, module in imports(source):
        target, *rest = module.split(".")[1:]
        if target == "version":
            continue
        if not target:
            yield f"{file}:{line}: relative import: name the module in full"
        elif target == room:
            if room == "stages" and rest and rest[0] != file.parts[1]:
                yield f"{file}:{line}: stage {file.parts[1]} imports {module}: no stage imports another"
        elif room == "api":
            if target not in EXCEPTIONS[room]:
                yield f"{file}:{line}: api imports {module}: it uses {', '.join(sorted(EXCEPTIONS[room]))} only"
        elif room == "demo":
            if FLOOR.get(target, len(FLOORS)) > FLOOR["families"]:
                yield f"{file}:{line}: demo imports {module}: it stands above families only"
        elif target == "demo":
            if below < FLOOR["plan"]:
                yield f"{file}:{line}: {room} imports {module}: demo stands below plan only"
        elif FLOOR.get(target, len(FLOORS)) >= below:
            yield f"{file}:{line}: {room} imports {module}: a room imports only from floors below its own"


def test_rooms_import_from_floors_below_only() -> None:
    assert [broken for file, source in modules() for broken in broken_rules(file, source)] == []


@pytest.mark.parametrize(
    ("file", "source", "rule"),
    [
        ("core/new.py", "from modelferry.records import Record", "floors below"),
        ("families/new.py", "def f():\n    import modelferry.formats.shared.runner", "floors below"),
        ("families/new.py", "if TYPE_CHECKING:\n    from modelferry.formats import Format", "floors below"),
        ("records/new.py", "from modelferry.checkpoints.reader import fit", "floors below"),
        ("stages/export/new.py", "from modelferry.stages.validation import stage", "no stage imports another"),
        ("api/new.py", "from modelferry.families import Family", "it uses"),
        ("config/new.py", "from modelferry.demo import demo_for", "below plan only"),
        ("demo/new.py", "from modelferry.formats import load_format", "above families only"),
        ("plan/new.py", "from .models import plan_model", "relative import"),
    ],
)
def test_rule_is_seen_to_be_broken(file: str, source: str, rule: str) -> None:
    (found,) = broken_rules(Path(file), source)
    assert found.startswith(f"{file}:")
    assert rule in found


def test_there_are_few_rooms_and_fewer_loose_modules() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms - {"api"} <= set(FLOOR)
    assert len(rooms) <= 14
    assert len(list(ROOT.glob("*.py"))) <= 4
