"""Runtimes load what formats write, and say what they load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelferry.formats import Format, Runner, format_names, load_format
from modelferry.runtimes import Runtime, load_runtime, runtime_names, runtimes_of
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


def test_a_runtime_loads_as_the_format_does_unless_it_says_otherwise() -> None:
    class Mine(Format):
        def build_template(self, deployable, contract, example, options, out): ...
        def fill(self, template, weights, metadata, out): ...
        def load(self, path, threads):
            return path, threads

    assert Runtime().load(Mine(), Path("x"), 3) == (Path("x"), 3)
