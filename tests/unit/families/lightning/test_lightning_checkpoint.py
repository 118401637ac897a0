"""A real Lightning checkpoint through family lightning, with a class that a user would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from campaigns import validated
from mineral_network import NODES, MineralTagger
from modelferry.checkpoints.reader import fit
from modelferry.families import load_family
from modelferry.formats import load_format
from sheets import DATA, needs

FILE = "gnn_mineral_segmentation/model.ckpt"
CHECKPOINT = DATA / FILE
DECLARED = {
    "class": "mineral_network:MineralTagger",
    "inputs": {
        "x": {"shape": ["graphs", NODES, 65], "values": [0, 0.1]},
        "edges": {"shape": ["graphs", NODES, NODES], "values": [0, 1]},
        "neighbours": {"shape": ["graphs", NODES, NODES], "dtype": "bool"},
    },
    "outputs": {"logits": ["graphs", NODES, 50], "features": ["graphs", 56]},
    "dimensions": {"graphs": [1, 4, 16]},
    "ignore": ["lr", "batch_size"],
}

pytestmark = needs(FILE)


def loaded() -> torch.nn.Module:
    family = load_family("lightning")
    hyperparameters = family.resolve(DECLARED, family.stated(CHECKPOINT))
    network = family.reference(hyperparameters)
    network.load_state_dict(fit(family.load_weights(CHECKPOINT, hyperparameters), network, CHECKPOINT))
    return network


def test_class_is_made_from_the_files_hyperparameters_without_those_to_ignore() -> None:
    network = loaded()
    assert isinstance(network, MineralTagger)
    assert sum(parameter.numel() for parameter in network.parameters()) == 29_466
    assert network.hparams["fill_value"] == 0.0
    assert network.hparams["lr"] == 0.1, "the class's own default, not the file's"


def test_network_is_that_of_pytorch_geometric() -> None:
    pyg = pytest.importorskip("torch_geometric.nn")
    common = {"v2": False, "heads": 4, "edge_dim": 1, "fill_value": 0.0, "concat": True}
    features = pyg.GAT(65, 56, 2, 56, **common)
    classification = pyg.GAT(56, 56, 1, 50, **{**common, "concat": False})
    state = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)["state_dict"]
    for name, network in (("features", features), ("classification", classification)):
        network.load_state_dict({k.removeprefix(f"{name}."): v for k, v in state.items() if k.startswith(f"{name}.")})
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(NODES, 65)).astype(np.float32))
    neighbours = torch.from_numpy(rng.random((NODES, NODES)) < 0.4)
    edges = torch.from_numpy(rng.random((NODES, NODES)).astype(np.float32))
    target, source = (neighbours & ~torch.eye(NODES, dtype=torch.bool)).nonzero().T
    index, attributes = torch.stack([source, target]), edges[target, source].unsqueeze(1)
    with torch.no_grad():
        hidden = features(x, index, edge_attr=attributes)
        truth = classification(hidden, index, edge_attr=attributes)
        logits, mean = loaded()(x[None], edges[None], neighbours[None])
    assert (logits[0] - truth).abs().max() < 1e-4 * truth.abs().max()
    assert (mean[0] - hidden.mean(0)).abs().max() < 1e-4 * hidden.abs().max()


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("mineral"))
        campaign = {
            "family": "lightning",
            "checkpoint": str(CHECKPOINT),
            "hyperparameters": DECLARED,
            "formats": ["torchscript", "onnx"],
            "validation": {"events": 60, "atol": 5e-5},  # logits reach 50: a millionth of that, as 1e-6 is of 1
        }
        yield validated(campaign)


def test_it_validates_in_torchscript_and_onnx_with_both_outputs(carried) -> None:
    plan, found = carried
    assert {name: (record.status, record.reason) for name, record in found.items()} == {
        "torchscript": ("passed", ""),
        "onnx": ("passed", ""),
    }
    assert all(control.detected for record in found.values() for control in record.controls)
    (planned,) = plan.runnable.values()
    for export, record in found.items():
        run = load_format(export).load(Path(planned.artifact(export)), threads=1)
        outputs = run(planned.family.declaration.example())
        assert {name: value.shape for name, value in outputs.items()} == {
            "logits": (4, NODES, 50),
            "features": (4, 56),
        }
        assert record.sketch
