"""A short run of bench/fuzz.py on every format, in a process of its own, and faults that it must see."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from forked import forked
from modelferry.core.contract import Arrays
from modelferry.formats import format_names, load_format
from modelferry.testing.sample_network import CONTRACT, random_weights

SCRIPT = Path(__file__).resolve().parents[3] / "bench" / "fuzz.py"

EXACT = [name for name in format_names() if load_format(name).exactness == "exact" and load_format(name).general]


@pytest.mark.parametrize("name", EXACT)
def test_random_and_malformed_inputs_end_no_process(template_of, tmp_path, fuzz, name) -> None:
    path = tmp_path / f"model.{load_format(name).extension}"
    load_format(name).fill(template_of(name), random_weights(1), {}, path)
    done = forked(lambda: fuzz.fuzz(load_format(name).load(path, 1), CONTRACT, 100, 100), tmp_path)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-500:])
    assert "100 random inputs were answered, 100 malformed ones rejected" in done.stdout


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


def answer(inputs: Arrays, classes: int = 4) -> Arrays:
    return {"logits": np.zeros((len(inputs["graph_input"]), classes), np.float32)}


def test_random_inputs_respect_the_contract_and_differ(fuzz) -> None:
    found = [fuzz.random_inputs(CONTRACT, np.random.default_rng(seed)) for seed in range(200)]
    for inputs in found:
        CONTRACT.check(inputs)
    assert len({inputs["x"].shape[0] for inputs in found}) > 10
    assert any(np.isnan(inputs["x"]).any() for inputs in found)
    assert any(len(inputs["edge_index"][0]) == 0 for inputs in found)


def test_faults_are_seen(fuzz, capsys) -> None:
    def checked(inputs: Arrays) -> Arrays:
        CONTRACT.check(inputs)
        return answer(inputs)

    def narrow(inputs: Arrays) -> Arrays:
        return answer(inputs, 3)

    assert fuzz.fuzz(checked, CONTRACT, 50, 50) == 0
    assert fuzz.fuzz(narrow, CONTRACT, 50, 0) == 1
    assert "instead of" in capsys.readouterr().out
    assert fuzz.fuzz(lambda inputs: answer(inputs), CONTRACT, 0, 50) == 1
    assert "were answered" in capsys.readouterr().out
