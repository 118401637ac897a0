"""Texts at the edge of what a text is: in generated modules, and the same in all formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelferry.core.errors import ArtifactError, ContractError
from modelferry.formats import load_format
from source_samples import Network, collated, plain_loops, predict_of

Predict = Callable[[str | bytes], float]
LENGTH = 64
FORMATS = ("json", "python", "cpp", "onnx")


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.random(1, convolutions=[[4, 3, True], [3, 5, False]], max_len=LENGTH)


@pytest.fixture(scope="module")
def predict(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Predict:
    return predict_of(network.artifact("python", tmp_path_factory.mktemp("texts")))


def truth(network: Network, data: bytes) -> float:
    return plain_loops(network.folded, data, LENGTH)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0",
        "a",
        "\0\0\0",
        "a\0b",
        "line\nbreak\r\n",
        "é" * 31 + "xé",
        "🙂" * 20,
        "x" * 63,
        "y" * 64,
        "z" * 65,
        "w" * 5000,
    ],
    ids=lambda text: f"{text[:2]!r}-{len(text.encode())}",
)
def test_text_is_its_bytes(text: str, network: Network, predict: Predict) -> None:
    assert abs(predict(text) - truth(network, text.encode())) < 1e-12
    assert predict(text) == predict(text.encode()) == predict(text + "\0" * 3)


def test_what_lies_behind_the_longest_counts_for_nothing(predict: Predict) -> None:
    assert predict("x" * LENGTH + "abc") == predict("x" * LENGTH)
    assert predict("é" * 40) == predict(("é" * 40).encode()[:LENGTH])
    assert predict("x" * (LENGTH - 1)) != predict("x" * LENGTH)


def test_what_cannot_be_encoded_is_left_out(predict: Predict) -> None:
    assert predict("a\ud800b") == predict("ab")


@pytest.mark.parametrize("data", [b"\xff\xfe", b"caf\xc3", bytes(range(64)), b"\x80" * 70])
def test_bytes_need_not_be_valid_utf8(data: bytes, network: Network, predict: Predict) -> None:
    assert abs(predict(data) - truth(network, data)) < 1e-12


def test_a_call_leaves_nothing_behind_that_changes_the_next(predict: Predict) -> None:
    texts = ["first", "second text", "", "first again"]
    assert [predict(text) for text in texts] == [predict(text) for text in texts]
    assert [predict(text) for text in reversed(texts)] == [predict(text) for text in texts][::-1]


@pytest.mark.parametrize("name", FORMATS)
def test_batch_of_texts_of_all_kinds_is_the_reference(name: str, network: Network, tmp_path: Path) -> None:
    texts = [b"", b"\0", b"\0" * 70, b"x" * 63, b"y" * 64, b"z" * 65, b"w" * 256, b"\xff\xfe", "é🙂".encode(), b"a\0b"]
    run = load_format(name).load(network.artifact(name, tmp_path), threads=1)
    assert np.abs(run(collated(texts))["score"][:, 0] - network.reference(texts)).max() < 1e-5
    assert run(collated([b""]))["score"].shape == (1, 1)
    for wrong in (
        {"text": np.zeros((1, 3))},
        {"text": np.zeros((0, 3), np.uint8)},
        {"text": np.zeros(3, np.uint8)},
        {},
    ):
        with pytest.raises(ContractError):
            run(wrong)


@pytest.mark.parametrize("name", ["json", "python", "cpp"])
def test_process_that_ends_is_an_error_that_names_the_file(name: str, network: Network, tmp_path: Path) -> None:
    run = load_format(name).load(network.artifact(name, tmp_path), threads=1)
    assert 0.5 < run.peak_memory_mb() < 40
    run._process.kill()
    run._process.wait()
    with pytest.raises(ArtifactError, match=r"model\S* stopped during a call"):
        run(collated([b"text"]))


def test_process_ends_with_its_runner(network: Network, tmp_path: Path) -> None:
    run = load_format("python").load(network.artifact("python", tmp_path), threads=1)
    process = run._process
    del run
    assert process.poll() is not None
