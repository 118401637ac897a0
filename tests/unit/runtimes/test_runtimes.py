"""Runtimes load what formats write, and say what they load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from formats_samples import CONTRACT, event_inputs, random_weights
from modelferry.formats import Format, Runner, format_names, load_format
from modelferry.runtimes import Runtime, load_in, load_runtime, runtimes_of


@pytest.mark.parametrize("name", [name for name in format_names() if load_format(name).general])
def test_what_every_runtime_loads_is_a_runner_with_the_contract_inside(name, template_of, tmp_path: Path) -> None:
    path = tmp_path / f"model.{load_format(name).extension}"
    load_format(name).fill(template_of(name), random_weights(1), {}, path)
    for runtime in runtimes_of(name):
        run = load_in(name, runtime, path, 1)
        assert isinstance(run, Runner)
        assert run.contract == CONTRACT
        assert run(event_inputs(5))["logits"].shape == (1, 4)
        peak = run.peak_memory_mb()
        assert peak is None or 1 < peak < 1e5, runtime


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
