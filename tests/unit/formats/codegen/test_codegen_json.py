"""JSON files of byte CNNs: ours against their schema, those of others as checkpoints, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from modelferry.config import Config
from modelferry.core.errors import ArtifactError, CheckpointError
from modelferry.families.hyperparameters import read_hyperparameters
from modelferry.formats import load_format
from modelferry.plan import Plan
from source_samples import FAMILY, Network

SCHEMA = json.loads((Path(__file__).parents[4] / "workflow/schemas/bytecnn.schema.json").read_text())
TWO = [[5, 3, True], [4, 5, True]]


@pytest.fixture
def network() -> Network:
    return Network.random(2, convolutions=TWO, max_len=30, pooling="max")


@pytest.fixture
def written(network: Network, tmp_path: Path) -> Path:
    return network.artifact("json", tmp_path, accuracy="0.5")


def flat_file(network: Network, path: Path, **changes: Any) -> Path:
    """Write a flat file with batch norms, like those of pinybytecnn."""
    arrays = {name.replace(".", "_"): t.tolist() for name, t in network.state.items() if "tracked" not in name}
    arrays["embedding"] = arrays.pop("embedding_weight")
    path.write_text(json.dumps({**arrays, "model_info": {"max_seq_len": 30, "vocab_size": 256}, **changes}))
    return path


def test_file_follows_its_schema_and_counts_what_is_in_it(written: Path, network: Network) -> None:
    content = json.loads(written.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(content)
    assert content["model_info"]["parameters"] == sum(t.numel() for t in network.folded.values())
    assert content["model_info"] | {"size_kb": 0} == {
        "name": "a/b", "version": None, "parameters": content["model_info"]["parameters"], "accuracy": 0.5,
        "size_kb": 0, "architecture": "embed3_conv5_conv4_dense4", "exported": None,
    }  # fmt: skip
    assert content["architecture"] == {
        "vocab_size": 256, "embed_dim": 3, "conv_filters": 5, "kernel_size": 3, "dense_dim": 4, "max_len": 30,
        "pooling": "max",
        "convolutions": [{"filters": 5, "kernel_size": 3}, {"filters": 4, "kernel_size": 5}],
    }  # fmt: skip
    content["weights"]["bn1_weight"] = [1.0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(content)


def test_round_trip_gives_the_same_network(written: Path, network: Network) -> None:
    state = FAMILY.own_names(FAMILY.read_tensors(written), "file")
    assert state.keys() == network.folded.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.folded.items())
    sizes = read_hyperparameters(FAMILY, written)
    folded = [[channels, kernel, False] for channels, kernel, _ in TWO]
    assert FAMILY.resolve({}, sizes) == {**network.hyperparameters, "convolutions": folded}


def test_flat_file_with_batch_norms_is_a_checkpoint(network: Network, tmp_path: Path) -> None:
    path = flat_file(network, tmp_path / "flat.json")
    state = FAMILY.own_names(FAMILY.read_tensors(path), "file")
    assert all(torch.equal(state[name], t) for name, t in network.state.items() if "tracked" not in name)
    assert read_hyperparameters(FAMILY, path)["convolutions"] == TWO
    assert FAMILY.stated(path) == {"max_len": 30}


def test_campaign_takes_what_the_file_states_and_refuses_what_contradicts_it(network: Network, tmp_path: Path) -> None:
    flat_file(network, tmp_path / "a.json")
    campaign = {"family": "bytecnn", "axes": {"fold": [0]}, "checkpoint": f"{tmp_path}/a.json", "formats": ["json"]}
    (planned,) = Plan(Config.model_validate({"campaigns": {"c": campaign}})).models.values()
    assert (planned.hyperparameters["max_len"], planned.hyperparameters["convolutions"]) == (30, TWO)
    wrong = {**campaign, "hyperparameters": {"max_len": 31}}
    (planned,) = Plan(Config.model_validate({"campaigns": {"c": wrong}})).models.values()
    assert "max_len is 31 in the config but 30 in the checkpoint" in planned.problem


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"bn9_weights": [1.0]}, "has 'bn9_weights', which is not part of a byte CNN"),
        ({"conv1_weight": [[[1.0, 2.0], [1.0]]]}, "'conv1_weight' has rows of different lengths"),
        ({"weights": {}}, "holds no weights"),
    ],
)
def test_file_with_something_else_is_refused(
    changes: dict[str, Any], wanted: str, network: Network, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=wanted):
        FAMILY.read_tensors(flat_file(network, tmp_path / "flat.json", **changes))


@pytest.mark.parametrize("text", ["", "{", "[1]", "nonsense", "\xff"])
def test_file_that_is_no_json_object_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"x\.json (is not JSON|holds a list)"):
        FAMILY.read_tensors(tmp_path / "x.json")
    with pytest.raises(CheckpointError, match=r"x\.json"):
        FAMILY.read_shapes(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('"pooling":"max"', '"pooling":"median"', r"architecture\.pooling"),
        ('"classifier_bias"', '"fc1_bias"', r"weights\.classifier_bias: Field required"),
        ('"accuracy": 0.5', '"accuracy": NaN', r"accuracy"),
    ],
)
def test_changed_file_is_refused_by_the_runtime(old: str, new: str, wanted: str, written: Path) -> None:
    assert old in written.read_text()
    written.write_text(written.read_text().replace(old, new))
    with pytest.raises(ArtifactError, match=wanted):
        load_format("json").load(written, threads=1)


def test_not_a_number_among_the_weights_is_refused(written: Path) -> None:
    content = json.loads(written.read_text())
    content["weights"]["output_bias"] = [float("nan")]
    written.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"weights\.output_bias"):
        load_format("json").load(written, threads=1)
