import json
import math
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.core import digests
from modelferry.core.digests import canonical_json, code_digest, digest_of, sha256_of_file

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: object) -> object:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(value=VALUES)
def test_canonical_json_keeps_the_value_and_ignores_the_order_of_keys(value: object) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(shuffled(value)) == text
    assert digest_of(shuffled(value)) == digest_of(value)


@given(first=VALUES, second=VALUES)
def test_other_values_have_other_digests(first: object, second: object) -> None:
    assert (digest_of(first) == digest_of(second)) == (canonical_json(first) == canonical_json(second))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_has_not(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": value})


@given(content=st.binary(max_size=200), position=st.integers(0, 199))
def test_digest_of_a_file_is_sha256_and_sees_every_byte(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, position: int
) -> None:
    import hashlib

    path = tmp_path_factory.mktemp("digest") / "file"
    path.write_bytes(content)
    assert sha256_of_file(path) == hashlib.sha256(content).hexdigest()
    if position < len(content):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        assert sha256_of_file(path) != hashlib.sha256(content).hexdigest()


class Package:
    """A small package called modelferry in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("stage.py", "from modelferry.inner import helper\nimport os\n")
        self.write("inner/__init__.py", "")
        self.write("inner/helper.py", "from modelferry import leaf\n")
        self.write("leaf.py", "X = 1\n")
        self.write("alone.py", "Y = 1\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    def digest(self, *modules: str) -> str:
        for function in (digests._imports, digests._source, code_digest):
            function.cache_clear()
        return code_digest(*modules)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.setattr(digests, "ROOT", tmp_path / "modelferry")
    yield Package(tmp_path / "modelferry")
    for function in (digests._imports, digests._source, code_digest):
        function.cache_clear()


def test_code_digest_follows_imports(package: Package) -> None:
    before = package.digest("modelferry.stage")
    assert package.digest("modelferry.stage") == before
    package.write("leaf.py", "X = 2\n")
    assert package.digest("modelferry.stage") != before
    package.write("leaf.py", "X = 1\n")
    assert package.digest("modelferry.stage") == before


@pytest.mark.parametrize("name", ["stage.py", "inner/__init__.py", "inner/helper.py", "leaf.py"])
def test_code_digest_changes_with_a_byte_of_any_module_it_reaches(package: Package, name: str) -> None:
    before = package.digest("modelferry.stage")
    path = package.root / name
    path.write_text(path.read_text() + "#")
    assert package.digest("modelferry.stage") != before


def test_code_digest_ignores_modules_that_are_not_imported(package: Package) -> None:
    before = package.digest("modelferry.stage")
    package.write("alone.py", "Y = 2\n")
    assert package.digest("modelferry.stage") == before


def test_code_digest_ignores_imports_for_the_type_checker(package: Package) -> None:
    package.write("stage.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from modelferry import alone\n")
    before = package.digest("modelferry.stage")
    package.write("alone.py", "Y = 2\n")
    assert package.digest("modelferry.stage") == before


def test_code_digest_sees_imports_inside_functions(package: Package) -> None:
    package.write("stage.py", "def work():\n    from modelferry.alone import Y\n")
    before = package.digest("modelferry.stage")
    package.write("alone.py", "Y = 2\n")
    assert package.digest("modelferry.stage") != before


def test_code_digest_survives_imports_in_a_circle(package: Package) -> None:
    package.write("leaf.py", "from modelferry import stage\n")
    assert package.digest("modelferry.stage") == package.digest("modelferry.stage")


def test_code_digest_covers_a_module_of_the_user_and_its_helpers(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_taggers.py").write_text("from my_layers import Layer\n")
    (tmp_path / "my_layers.py").write_text("Layer = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = package.digest("modelferry.stage", "my_taggers")
    (tmp_path / "my_taggers.py").write_text("from my_layers import Layer  #\n")
    changed = package.digest("modelferry.stage", "my_taggers")
    assert changed != before
    (tmp_path / "my_layers.py").write_text("Layer = 2\n")
    assert package.digest("modelferry.stage", "my_taggers") != changed
    sys.modules.pop("my_taggers", None)


def test_code_of_validation_does_not_depend_on_that_of_the_benchmark_or_report() -> None:
    from modelferry.core.digests import _closure
    from modelferry.plan.reruns import STAGES

    for stage in ("template", "export", "reference", "validate"):
        reached = set(_closure([STAGES[stage]]))
        assert STAGES[stage] in reached
        assert not {
            name for name in reached if name.startswith(("modelferry.stages.report", "modelferry.stages.benchmark"))
        }
    assert not {name for name in _closure([STAGES["report"]]) if name.startswith("modelferry.stages.validation")}
