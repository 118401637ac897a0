"""A checkpoint by its path: the network as trained, and its outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import modelferry
from checkpoint_samples import formula_state, save_checkpoint
from modelferry.cli.main import main
from modelferry.core.errors import ConfigError, ContractError
from modelferry.families import load_family

HIGGS = load_family("charged_higgs_particlenet")
BYTES = load_family("bytecnn")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_checkpoint(Path("net.pt"))


def test_network_is_that_of_the_checkpoint() -> None:
    model = modelferry.load_checkpoint("net.pt")
    assert (model.family.name, model.hyperparameters, model.assumed) == (HIGGS.name, {"hidden": 16}, ())
    network = model.network()
    assert not network.training
    assert all(torch.equal(value, formula_state(16)[key]) for key, value in network.state_dict().items())


def test_outputs_are_those_of_the_network_one_row_an_event() -> None:
    model = modelferry.load_checkpoint("net.pt")
    events = HIGGS.sample({"events": 11, "particles": 7}, 1)
    found = model.outputs(events)["logits"]
    inputs = HIGGS.collate(events, "flat")
    tensors = [torch.from_numpy(inputs[name]) for name in ("x", "edge_index", "graph_input", "batch")]
    with torch.no_grad():
        wanted = model.network()(*tensors).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(model.outputs(inputs)["logits"], wanted, atol=1e-6)
    with pytest.raises(ContractError, match="there is no input 'edge_index'"):
        model.outputs({"x": inputs["x"]})


def test_command_writes_the_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    model = modelferry.load_checkpoint("net.pt")
    inputs = HIGGS.collate(HIGGS.sample({"events": 5, "particles": 7}, 1), "flat")
    np.savez("in puts.npz", **inputs)
    assert main(["outputs", "net.pt", "--inputs", "in puts.npz", "--out", "out.npz"]) == 0
    assert "note: net.pt is of family charged_higgs_particlenet" in capsys.readouterr().out
    with np.load("out.npz") as written:
        np.testing.assert_array_equal(written["logits"], model.outputs(inputs)["logits"])
    np.savez("wrong.npz", **{**inputs, "x": inputs["x"].astype(np.float64)})
    assert main(["outputs", "net.pt", "--inputs", "wrong.npz", "--out", "no.npz"]) == 1
    assert "wrong.npz: input 'x' is float64; give it as float32" in capsys.readouterr().err
    assert not Path("no.npz").exists()


def test_inputs_of_many_events_are_called_in_pieces() -> None:
    torch.manual_seed(1)
    torch.save(BYTES.reference(BYTES.hyperparameters).state_dict(), "text.pth")
    model = modelferry.load_checkpoint("text.pth", family="bytecnn")
    text = np.random.default_rng(1).integers(0, 256, (300, 20)).astype(np.uint8)  # more than a call takes
    assert model.outputs({"text": text})["score"].shape == (300, 1)


def test_what_is_assumed_is_said() -> None:
    torch.save(BYTES.reference(BYTES.hyperparameters).state_dict(), "text.pth")
    model = modelferry.load_checkpoint("text.pth")
    assert model.assumed == ("max_len", "pooling", "eps")
    assert model.note.startswith("the checkpoint does not tell max_len = 512, ")
    assert modelferry.load_checkpoint("text.pth", hyperparameters={"max_len": 64}).assumed == ("pooling", "eps")
    with pytest.raises(ConfigError, match="did you mean 'max_len'"):
        modelferry.load_checkpoint("text.pth", hyperparameters={"maxlen": 64})
