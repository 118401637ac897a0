"""Runtimes load what formats write, and say what they load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelferry.core.errors import ConfigError
from modelferry.formats import Format, Runner, format_names, load_format
from modelferry.runtimes import Runtime, load_runtime, runtime_names, runtime_of, runtimes_of
from modelferry.testing import RuntimeConformance

FORMATS = {
    runtime: name
    for name in ("torchscript", *format_names())[::-1]
    for runtime in load_format(name).runtimes
    if load_format(name).general
}
"""A format of each runtime; of several, TorchScript, which compiles nothing."""


class TestRuntimes(RuntimeConformance):
    """The suite that users run, with the first general format of each runtime."""

    @pytest.fixture(scope="module", params=[name for name in runtime_names() if FORMATS.get(name)])
    @classmethod
    def executes(cls, request: pytest.FixtureRequest) -> Runtime:
        if missing := load_runtime(request.param).unavailable():
            pytest.skip(missing)
        return load_runtime(request.param)

    @pytest.fixture(scope="module")
    @classmethod
    def target(cls, executes: Runtime) -> Format:
        return load_format(FORMATS[executes.name])

    @pytest.fixture(scope="module")
    @classmethod
    def template(cls, target: Format, template_of) -> Path:
        return template_of(target.name)


def test_loading_in_a_runtime_changes_neither_it_nor_the_format() -> None:
    for name in format_names():
        for runtime in runtimes_of(name):
            assert vars(load_format(name)) == vars(load_runtime(runtime)) == {}


def test_a_function_is_not_a_runner() -> None:
    assert not isinstance(np.copy, Runner)


def test_a_runtime_loads_as_the_format_does_unless_it_says_otherwise(tmp_path: Path) -> None:
    class Mine(Format):
        extension = "mine"

        def build_template(self, deployable, contract, example, options, out): ...
        def fill(self, template, weights, metadata, out): ...
        def load(self, path, threads):
            return path, threads

    path = tmp_path / "x.mine"
    path.touch()
    assert Runtime().load(Mine(), path, 3) == (path, 3)


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("class Mine: name = 'mine'", r"is not a modelferry\.runtimes\.Runtime"),
        ("class Mine(Runtime): name = 'mine'", "has no library"),
        ("class Mine(Runtime): name, library = 'cpp', ''", "name 'cpp' of one of modelferry's own"),
        ("class Mine(Runtime): name, library = 'a.b', ''", r"has the name 'a\.b'"),
        ("Mine = 3", "derive it from that class"),
    ],
)
def test_own_runtime_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, wanted: str
) -> None:
    name = f"my_runtime_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(f"from modelferry import Runtime\n\n{code}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=wanted) as caught:
        load_runtime(f"{name}:Mine")
    assert "\n" not in str(caught.value)


def test_a_format_has_the_runtimes_that_it_names_and_no_other() -> None:
    assert runtime_of("torchscript", "cpp") is load_runtime("cpp")
    with pytest.raises(ConfigError, match="format torchscript does not run in 'onnxruntime'; known: cpp, pytorch"):
        runtime_of("torchscript", "onnxruntime")
