"""Networks on vectors: stacks of linear layers as Python and as C++, and what no format of source code can hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelferry.core.contract import Contract, Dimension, Tensor
from modelferry.core.errors import ArtifactError
from modelferry.formats import Runner, load_format
from modelferry.formats.codegen.layer_graph import describe
from modelferry.formats.codegen.python_runtime import sigmoid

INPUTS = 5


def contract(outputs: int, meaning: str = "") -> Contract:
    return Contract(
        layout="table",
        inputs=(Tensor(name="x", dtype="float32", shape=("events", INPUTS)),),
        outputs=(Tensor(name="logits", dtype="float32", shape=("events", outputs), description=meaning),),
        dimensions=(Dimension(name="events", minimum=1, typical=8, maximum=64),),
    )


def written(network: nn.Module, outputs: int, name: str, folder: Path, model: str = "0 tagger") -> Path:
    target, rows = load_format(name), np.zeros((8, INPUTS), np.float32)
    template, out = folder / f"template.{target.extension}", folder / f"model.{target.extension}"
    target.build_template(network.eval(), contract(outputs), {"x": rows}, {}, template)
    target.fill(template, network.state_dict(), {"model": model}, out)
    return out


@pytest.mark.parametrize("name", ["python", "cpp"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_stack_of_linear_layers_is_the_network(name: str, outputs: int, tmp_path: Path) -> None:
    torch.manual_seed(outputs)
    network = nn.Sequential(
        nn.Linear(INPUTS, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 4), nn.Sigmoid(),
        nn.Identity(), nn.Linear(4, outputs),
    )  # fmt: skip
    run: Runner = load_format(name).load(written(network, outputs, name, tmp_path), threads=1)
    x = np.random.default_rng(1).normal(size=(9, INPUTS)).astype(np.float32) * 30
    with torch.inference_mode():
        expected = network.double()(torch.from_numpy(x).double()).numpy()
    assert np.abs(run({"x": x})["logits"] - expected).max() < (1e-14 if name == "python" else 1e-6)


@pytest.mark.parametrize("name", ["python", "cpp"])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Sigmoid(), nn.Tanh()], ids=["relu", "sigmoid", "tanh"])
def test_input_that_is_no_number_gives_no_number(name: str, activation: nn.Module, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(INPUTS, 3), activation, nn.Linear(3, 1))
    x = np.ones((2, INPUTS), np.float32)
    x[0, 1] = np.nan
    logits = load_format(name).load(written(network, 1, name, tmp_path), threads=1)({"x": x})["logits"]
    assert np.isnan(logits[:, 0]).tolist() == [True, False]


@pytest.mark.parametrize("model", ["new", "Default", "std", "main"])
def test_header_is_no_namespace_that_cpp_keeps_for_itself(model: str, tmp_path: Path) -> None:
    header = written(nn.Sequential(nn.Linear(INPUTS, 1)), 1, "cpp", tmp_path, model)
    assert f"namespace network_{model.lower()} {{" in header.read_text()
    load_format("cpp").load(header, threads=1)


@pytest.mark.parametrize("meaning", ["two\nlines", "${name} and ${other}", "$x, $$", 'a """ b', "ends in \\"])
@pytest.mark.parametrize("name", ["python", "cpp"])
def test_descriptions_say_what_they_like(name: str, meaning: str, tmp_path: Path) -> None:
    network, target, wanted = nn.Sequential(nn.Linear(INPUTS, 1)), load_format(name), contract(1, meaning)
    template, out = tmp_path / f"template.{target.extension}", tmp_path / f"model.{target.extension}"
    target.build_template(network, wanted, {"x": np.zeros((8, INPUTS), np.float32)}, {}, template)
    target.fill(template, network.state_dict(), {"model": "net"}, out)
    assert target.load(out, threads=1).contract == wanted


def test_module_refuses_vectors_of_another_length(tmp_path: Path) -> None:
    import runpy

    predict = runpy.run_path(str(written(nn.Sequential(nn.Linear(INPUTS, 1)), 1, "python", tmp_path)))["predict"]
    assert isinstance(predict([0.0] * INPUTS), float)
    with pytest.raises(ValueError, match="got 4 values instead of 5"):
        predict([0.0] * 4)


def test_module_passes_ruff_and_strict_mypy(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(INPUTS, 3), nn.Tanh(), nn.Linear(3, 2))
    module = written(network, 2, "python", tmp_path)
    for command in (["ruff", "check", "--no-cache", "--isolated"], ["mypy", "--strict", "--cache-dir", str(tmp_path)]):
        done = subprocess.run([sys.executable, "-m", *command, module], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        (nn.Linear(INPUTS, 2), "it is a Linear, no nn.Sequential"),
        (nn.Sequential(nn.Linear(INPUTS, 2), nn.GELU()), "'1' is a GELU"),
        (nn.Sequential(nn.Linear(INPUTS, 2, bias=False)), "'0' has no bias"),
        (nn.Sequential(nn.Linear(INPUTS, 2), nn.BatchNorm1d(2)), "'1' is a batch norm; leave the transform"),
        (nn.Sequential(nn.ReLU()), "'0' is a ReLU"),
        (nn.Sequential(), "it has no linear layer"),
    ],
)
def test_other_networks_are_refused_by_what_they_have(network: nn.Module, wanted: str, tmp_path: Path) -> None:
    for name in ("python", "cpp", "json"):
        with pytest.raises(ArtifactError, match=f"format {name} cannot hold this network: {wanted}"):
            written(network, 2, name, tmp_path)


def test_weights_of_other_precision_and_several_outputs_are_refused() -> None:
    network, one = nn.Sequential(nn.Linear(INPUTS, 2)), contract(2)
    with pytest.raises(ArtifactError, match="its weights are float64"):
        describe(nn.Sequential(nn.Linear(INPUTS, 2)).double(), one, "cpp")
    two = one.model_copy(update={"outputs": one.outputs * 2})
    with pytest.raises(ArtifactError, match="several inputs or outputs"):
        describe(network, two, "cpp")


def test_sigmoid_takes_numbers_of_any_size() -> None:
    assert [sigmoid(value) for value in (-1e4, 0.0, 1e4)] == [0.0, 0.5, 1.0]


def test_json_holds_texts_only(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="reads no text; use python or cpp"):
        written(nn.Sequential(nn.Linear(INPUTS, 2)), 2, "json", tmp_path)


@pytest.mark.parametrize(
    "change", [{"stride": 2}, {"dilation": 2}, {"padding": 0}, {"bias": False}, {"padding_mode": "circular"}], ids=str
)
def test_convolutions_of_other_kinds_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    from modelferry.families.bytecnn.deployable import ByteEmbedding, Pool

    convolution = nn.Conv1d(2, 3, 3, **{"padding": 1, **change})
    network = nn.Sequential(ByteEmbedding(9, 2), convolution, nn.ReLU(), Pool("max"), nn.Linear(3, 1))
    with pytest.raises(ArtifactError, match="its text is not embedded, convolved"):
        written(network, 1, "python", tmp_path)
