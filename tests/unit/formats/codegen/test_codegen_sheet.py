"""The 10k reference of the sheet: its scores, not its labels, in every format, after import from JSON and re-export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from modelferry.families.hyperparameters import infer_hyperparameters
from modelferry.formats import load_format
from sheets import expected_figures, needs, third_party
from source_samples import FAMILY, REFERENCE_FILE, SHEET, Network, collated, plain_loops, predict_of, scores

pytestmark = needs(REFERENCE_FILE)

TEXTS, SCORES = [text.encode() for text in SHEET], np.array(list(SHEET.values()))
TOLERANCES = {"json": 1e-9, "python": 1e-9, "cpp": 1e-6, "onnx": 1e-6, "torchscript": 1e-6, "torch_export": 1e-6}


@pytest.fixture(scope="module")
def imported() -> Network:
    path = third_party(REFERENCE_FILE)
    sizes = infer_hyperparameters(FAMILY, FAMILY.read_shapes(path))
    state = FAMILY.own_names(FAMILY.read_tensors(path), "reference")
    return Network(FAMILY.resolve({}, sizes), dict(state))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sheet")


def test_shapes_tell_the_architecture(imported: Network) -> None:
    assert imported.hyperparameters["embedding"] == 12
    assert imported.hyperparameters["convolutions"] == [[40, 3, False]]
    assert imported.hyperparameters["dense"] == 128
    assert sum(tensor.numel() for tensor in imported.state.values()) == 9929


def test_reference_and_plain_loops_give_the_sheets_scores(imported: Network) -> None:
    assert np.abs(imported.reference(TEXTS) - SCORES).max() < 1e-13
    assert abs(plain_loops(imported.state, TEXTS[3], 512) - SCORES[3]) < 1e-13


@pytest.mark.parametrize("name", TOLERANCES)
def test_every_format_gives_the_sheets_scores(name: str, imported: Network, folder: Path) -> None:
    run = load_format(name).load(imported.artifact(name, folder), threads=1)
    together = run(collated(TEXTS))["score"][:, 0]
    alone = np.array([run(collated([text]))["score"][0, 0] for text in TEXTS])
    assert np.abs(together - SCORES).max() < TOLERANCES[name]
    assert np.abs(alone - SCORES).max() < TOLERANCES[name]


def test_generated_module_alone_gives_the_sheets_scores(imported: Network, folder: Path) -> None:
    predict = predict_of(imported.artifact("python", folder))
    assert max(abs(predict(text) - score) for text, score in SHEET.items()) < 1e-13


def test_exported_json_is_the_imported_network_bit_for_bit(imported: Network, folder: Path) -> None:
    again = FAMILY.read_tensors(imported.artifact("json", folder))
    assert again.keys() == imported.state.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in imported.state.items())


def test_three_wrong_conventions_have_the_right_labels_and_are_seen(imported: Network) -> None:
    """What the sheet warns of: other pooling, or no padding. The comparison above must tell them apart."""
    wrong = []
    for pooling, padded in (("max", False), ("mean_max", False), ("max", True)):
        network = FAMILY.deployable({**imported.hyperparameters, "pooling": pooling}, "bytes").double().eval()
        network.load_state_dict(imported.state)
        found = []
        for text in TEXTS:
            network.embedding.length = 512 if padded else len(text)
            found.append(scores(network, [text])[0])
        wrong.append(np.array(found))
    assert wrong[0][:4] == pytest.approx(expected_figures("bytecnn")["maximum_without_padding"], abs=6e-5)
    for found in wrong:
        assert ((found > 0.5) == (SCORES > 0.5)).all()
        assert np.abs(found - SCORES).max() > 1e-2
