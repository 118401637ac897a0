"""The rooms of the package: which may import which, and that generic rooms know no family and no format by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import modelferry
from modelferry.families import family_names
from modelferry.formats import format_names

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
NAMES = {*family_names(), *format_names()}
WORDS = {"json", "python", "cpp", "lightning"}
"""Names that are words or modules as well: as identifiers they say nothing of a family or format."""
ASKED = {"families": "family", "formats": "format"}
NAMED_ON_PURPOSE = {
    "api/torchscript.py": "its functions are the one-line export to TorchScript that users come with",
    "api/lightning_mixin.py": "its methods are named after what they write, as Lightning's own are",
    "core/environment.py": "onnx is a distribution, whose version goes into every record",
}
"""Files of generic rooms that name a format all the same, and why."""


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


def names_in(file: Path, source: str) -> Iterator[str]:
    """Yield file, line and rule of each family's or format's name in a generic room, docstrings left out."""
    if file.parts[0] not in GENERIC:
        return
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    modes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "mode"}
    for line, module in imports(source):
        target, *rest = module.split(".")[1:]
        if target in ("families", "formats") and rest and rest[0] in NAMES:
            yield f"{file}:{line}: imports {module}: a generic room asks any {ASKED[target]}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if node.value in NAMES and id(node) not in docstrings | modes:
                yield f"{file}:{node.lineno}: names '{node.value}': a generic room asks the family or the format"
            continue
        for name in ("id", "attr", "arg", "name", "asname"):
            if (word := getattr(node, name, None)) in NAMES and word not in WORDS:
                yield f"{file}:{node.lineno}: is about {word}: a generic room asks the family or the format"


def test_generic_rooms_know_no_family_and_no_format_by_name() -> None:
    hits = [(file.as_posix(), hit) for file, source in modules() for hit in names_in(file, source)]
    assert [hit for file, hit in hits if file not in NAMED_ON_PURPOSE] == []
    assert {file for file, _ in hits} == {*NAMED_ON_PURPOSE}, "an exception is no longer needed"


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/new.py", "FAMILY = 'bytecnn'"),
        ("stages/report/new.py", "if record.format == 'aotinductor':\n    pass"),
        ("config/new.py", "layouts = {'json': 1}"),
        ("plan/new.py", "def export(bytecnn):\n    pass"),
        ("cli/new.py", "from modelferry.families.particlenet.family import FAMILY"),
        ("api/new.py", "import modelferry.formats.torchscript"),
        ("records/new.py", "weights = record.quantized"),
        ("comparison/new.py", "import outputs as particlenet"),
    ],
)
def test_name_in_a_generic_room_is_seen(file: str, source: str) -> None:
    first, *_ = names_in(Path(file), source)
    assert first.startswith(f"{file}:")
    assert "a generic room asks" in first


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/new.py", '"""Like bytecnn."""\nimport json\njson.dumps({})\n"a .json file"'),
        ("records/new.py", "facts.model_dump(mode='json')"),
        ("families/bytecnn/new.py", "NAME = 'bytecnn'"),
        ("stages/report/new.py", "from modelferry.formats import load_format"),
    ],
)
def test_plain_words_and_special_rooms_are_left_alone(file: str, source: str) -> None:
    assert list(names_in(Path(file), source)) == []
