"""Digests of code: what a stage imports counts, and only what it executes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelferry
from modelferry.plan import code_digest
from modelferry.plan.code_digest import code_of, digest_of_source
from modelferry.plan.stages import STAGES

FILES = sorted(Path(modelferry.__file__).parent.rglob("*.py"))


def forget() -> None:
    for function in (code_digest._read, code_digest._source, code_digest._elsewhere, code_of):
        function.cache_clear()


class Package:
    """A small package called modelferry in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("__init__.py", "from modelferry import alone\n")
        self.write("stage.py", "from modelferry.inner import helper\nimport os\n")
        self.write("inner/__init__.py", "Z = 1\n")
        self.write("inner/helper.py", "from modelferry import leaf\n")
        self.write("leaf.py", "X = 1\n")
        self.write("alone.py", "Y = 1\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    def code(self, *modules: str) -> dict[str, str]:
        forget()
        return dict(code_of(*(modules or ["modelferry.stage"])))

    def changed(self, name: str, text: str, *modules: str) -> list[str]:
        """Return the files whose digests another text of one of them changes."""
        before = self.code(*modules)
        self.write(name, text)
        after = self.code(*modules)
        return [file for file in {**before, **after} if before.get(file) != after.get(file)]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.setattr(code_digest, "ROOT", tmp_path / "modelferry")
    monkeypatch.chdir(tmp_path)
    yield Package(tmp_path / "modelferry")
    forget()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stage.py", "from modelferry.inner import helper\nimport os, sys\n"),
        ("inner/__init__.py", "Z = 2\n"),
        ("inner/helper.py", "from modelferry import leaf as other\n"),
        ("leaf.py", "X = 2\n"),
    ],
)
def test_changed_file_that_is_reached_is_named(package: Package, name: str, text: str) -> None:
    assert package.changed(name, text) == [name]
    assert package.code() == package.code()


@pytest.mark.parametrize("name", ["alone.py", "__init__.py"])
def test_what_is_not_imported_and_public_names_do_not_count(package: Package, name: str) -> None:
    assert package.changed(name, "Y = 2\n") == []


def test_packages_that_a_module_lies_in_count_and_what_they_import(package: Package) -> None:
    package.write("stage.py", "from modelferry.inner.helper import leaf\n")
    assert set(package.changed("inner/__init__.py", "import modelferry.alone\n")) == {"inner/__init__.py", "alone.py"}


def test_package_that_is_only_a_docstring_is_no_member(package: Package) -> None:
    package.write("inner/__init__.py", '"""A room."""\n')
    assert set(package.code()) == {"stage.py", "inner/helper.py", "leaf.py"}


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_imports_for_the_type_checker_do_not_count_and_those_in_functions_do(package: Package, test: str) -> None:
    text = f"import typing\nif {test}:\n    from modelferry import alone\nelse:\n    import modelferry.leaf\n"
    package.write("stage.py", text)
    assert package.changed("alone.py", "Y = 2\n") == []
    assert package.changed("leaf.py", "X = 3\n") == ["leaf.py"]
    package.write("stage.py", "def f():\n    try:\n        g()\n    except OSError:\n        import modelferry.alone\n")
    assert package.changed("alone.py", "Y = 3\n") == ["alone.py"]


def test_imports_in_a_circle_end(package: Package) -> None:
    package.write("leaf.py", "from modelferry import stage\n")
    assert set(package.code()) == {"stage.py", "inner/__init__.py", "inner/helper.py", "leaf.py"}


def test_own_module_counts_with_its_helpers_and_relative_imports(package: Package, tmp_path: Path) -> None:
    (tmp_path / "my_taggers").mkdir()
    (tmp_path / "my_taggers/__init__.py").write_text("")
    (tmp_path / "my_taggers/net.py").write_text("from .layers import Layer\nfrom . import more\nimport my_helper\n")
    (tmp_path / "my_taggers/layers.py").write_text("Layer = 1\n")
    (tmp_path / "my_taggers/more.py").write_text("from ..my_taggers.layers import Layer\n")
    (tmp_path / "my_helper.py").write_text("X = 1\n")
    names = {"./my_taggers/net.py", "./my_taggers/layers.py", "./my_taggers/more.py", "./my_helper.py"}
    assert names == set(package.code("my_taggers.net"))
    assert package.changed("../my_taggers/layers.py", "Layer = 2\n", "my_taggers.net") == ["./my_taggers/layers.py"]


def test_installed_module_of_the_user_counts_itself(
    package: Package, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path_factory.mktemp("installed") / "installed_tagger.py"
    installed.write_text("X = 1\n")
    monkeypatch.syspath_prepend(str(installed.parent))
    assert package.changed(str(installed), "X = 2\n", "installed_tagger") == ["installed_tagger"]


def test_file_that_is_not_python_counts_by_its_bytes(package: Package) -> None:
    assert package.changed("leaf.py", "def (\n") == ["leaf.py"]
    assert package.changed("leaf.py", "def (\n\n") == ["leaf.py"]


def reformatted(source: str) -> str:
    """Return the same code without its comments, in another format, with other docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for block in (getattr(node, name, []) for name in ("body", "orelse")):
            for statement in block if isinstance(block, list) else []:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    statement.value.value = "Another docstring."
    return "# a comment\n" + ast.unparse(tree).replace("\n\n", "\n\n\n# more\n")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FILES[0].parent)))
def test_comments_docstrings_and_formatting_of_no_file_count_and_a_statement_does(path: Path) -> None:
    source = path.read_text()
    digest = digest_of_source(source.encode())
    assert digest_of_source(reformatted(source).encode()) == digest
    assert digest_of_source((source + "\nchanged = 1\n").encode()) != digest


@given(value=st.integers(0, 9), name=st.sampled_from("xyz"), other=st.integers(0, 9))
def test_values_and_names_count(value: int, name: str, other: int) -> None:
    first, second = (f"def f({name}):\n    '''{v}'''\n    return {name} + {v}\n".encode() for v in (value, other))
    assert (digest_of_source(first) == digest_of_source(second)) == (value == other)


def test_digests_are_the_same_in_another_process() -> None:
    import subprocess
    import sys

    modules = tuple(stage.module for stage in STAGES if stage.module)
    script = f"from modelferry.plan.code_digest import code_of; print(dict(code_of(*{modules!r})))"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert ast.literal_eval(printed) == code_of(*modules)
