"""What is particular to byte CNNs: detection, spellings, and the table of a checkpoint that does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from modelferry.checkpoints.reader import load_state_dict
from modelferry.core.errors import CheckpointError, ConfigError
from modelferry.families import load_family
from modelferry.families.probes import make_probes, sizes_of

FAMILY = load_family("bytecnn")
DEFAULT = dict(FAMILY.hyperparameters)
State = dict[str, torch.Tensor]


def state(**changes: object) -> State:
    return dict(FAMILY.reference({**DEFAULT, **changes}).state_dict())


def shapes(tensors: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("sizes", "values"),
    [
        ({}, 9_929),
        ({"embedding": 14, "convolutions": [[28, 3, False]], "dense": 48}, 6_229),
        ({"embedding": 14, "convolutions": [[28, 3, False], [24, 3, False]], "dense": 48}, 8_077),
        ({"embedding": 14, "convolutions": [[28, 3, True], [24, 3, True]], "dense": 48}, 8_285),
        ({"embedding": 14, "convolutions": [[28, 3, False], [28, 5, False], [24, 3, False]], "dense": 48}, 12_025),
    ],
)
def test_variants_of_the_sheet_are_detected_and_have_its_sizes(sizes: dict[str, object], values: int) -> None:
    found = state(**sizes)
    assert sum(tensor.numel() for name, tensor in found.items() if "tracked" not in name) == values
    told = FAMILY.infer(shapes(found))
    assert {**DEFAULT, **told} == {**DEFAULT, **sizes}


def test_what_shapes_cannot_tell_is_a_hyperparameter() -> None:
    told = FAMILY.infer(shapes(state()))
    assert "max_len" not in told
    assert "pooling" not in told
    assert FAMILY.resolve({"max_len": 99, "pooling": "max"}, told)["max_len"] == 99
    with pytest.raises(ConfigError, match="pooling is max in the config but concat in the checkpoint"):
        FAMILY.resolve({"pooling": "max"}, FAMILY.infer(shapes(state(pooling="concat"))))


def broken(name: str) -> State:
    tensors = state(convolutions=[[5, 3, True], [4, 3, False]], dense=6)
    if name == "gap":
        del tensors["conv1.weight"]
    elif name == "second layer lost":
        del tensors["conv2.weight"]
    elif name == "half a batch norm":
        del tensors["bn1.running_var"]
    elif name == "dense transposed":
        tensors["classifier.weight"] = tensors["classifier.weight"].T
    elif name == "two outputs":
        tensors["output.weight"] = torch.ones(2, 6)
    elif name == "vocabulary":
        tensors["embedding.weight"] = torch.ones(128, 12)
    elif name == "other layer":
        tensors["attention.weight"] = torch.ones(3, 3)
    return tensors


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("gap", "no conv1.weight"),
        ("second layer lost", "conv2.bias is not expected"),
        ("half a batch norm", "no bn1.running_var"),
        ("dense transposed", r"classifier.weight is \(4, 6\) instead of \(D, 4\)"),
        ("two outputs", r"output.weight is \(2, 6\) instead of \(1, 6\)"),
        ("vocabulary", r"embedding.weight is \(128, 12\) instead of \(256, E\)"),
        ("other layer", "attention.weight is not expected"),
    ],
)
def test_what_does_not_fit_shows_what_was_found_and_what_is_needed(name: str, wanted: str) -> None:
    tensors = broken(name)
    assert FAMILY.infer(shapes(tensors)) == {}
    with pytest.raises(CheckpointError, match=f"model.pth is not a byte CNN: .*{wanted}") as caught:
        FAMILY.own_names(tensors, "model.pth")
    table = {line.split()[0]: line for line in str(caught.value).splitlines()[1:]}
    assert "a byte CNN needs" in table["tensor"]
    for tensor, shape in shapes(tensors).items():
        assert "tracked" in tensor or " × ".join(map(str, shape)) in table[tensor]
    assert table["conv3.weight"].split()[1:3] == ["–", "(F3,"]


def test_pickled_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": FAMILY.reference(DEFAULT)}, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match="refused: reading it would run or import"):
        load_state_dict(tmp_path / "whole.pth")


def test_probes_try_the_lengths_at_which_texts_are_cut() -> None:
    contract = FAMILY.contract(DEFAULT, "bytes")
    assert {0, 1, 2, 511, 512, 513, 2048} <= set(sizes_of(contract.dimension("bytes")))
    lengths = {len(event["text"]) for probe in make_probes(FAMILY, contract, 1, 1, (), "") for event in probe.events}
    assert {0, 1, 511, 512, 513, 2048} <= lengths


def test_output_is_a_probability() -> None:
    contract = FAMILY.contract(DEFAULT, "bytes")
    assert [output.shape for output in contract.outputs] == [("events", 1)]
    assert contract.scores == "nothing"


def test_samples_have_whole_and_cut_characters_and_any_bytes() -> None:
    texts = [event["text"].tobytes() for event in FAMILY.sample({"events": 200, "bytes": 41}, 1)]
    assert {len(text) for text in texts} == {41}
    ascii_only = sum(text.isascii() for text in texts)
    assert 100 < ascii_only < 180
    assert any(np.frombuffer(text, np.uint8).max() == 255 for text in texts)


def test_convolutions_without_bias_get_one_of_zeros() -> None:
    tensors = {name: tensor for name, tensor in state().items() if name != "conv1.bias"}
    assert torch.equal(FAMILY.own_names(tensors, "x")["conv1.bias"], torch.zeros(40))
