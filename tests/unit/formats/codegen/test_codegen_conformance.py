"""Any byte CNN in JSON, Python and C++ is the network as trained: sizes, layers, batch norms, names and texts vary."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelferry.families.hyperparameters import infer_hyperparameters
from modelferry.formats import load_format
from source_samples import FAMILY, FOLDED, Network, collated, plain_loops, predict_of, scores

LAYER = st.tuples(st.integers(1, 5), st.integers(1, 5), st.booleans()).map(list)
SIZES = st.fixed_dictionaries(
    {
        "embedding": st.integers(1, 5),
        "convolutions": st.lists(LAYER, min_size=1, max_size=3),
        "dense": st.integers(1, 6),
        "max_len": st.integers(1, 40),
        "pooling": st.sampled_from(["mean_max", "mean", "max", "concat"]),
        "eps": st.sampled_from([1e-5, 1e-3]),
    }
)
TEXTS = st.lists(st.binary(max_size=50) | st.text(max_size=30).map(str.encode), min_size=1, max_size=4)
BORDERS = [b"", b"\0", b"a", b"a\0\0", b"\0a", bytes(60), b"x" * 60]
NETWORKS = st.builds(lambda seed, sizes: Network.random(seed, **sizes), st.integers(0, 999), SIZES)


def texts_around(network: Network, texts: list[bytes]) -> list[bytes]:
    """Return texts, and others that are as long as the network reads, or nearly so."""
    length = network.hyperparameters["max_len"]
    return [*texts, *BORDERS, *(bytes(range(65, 65 + size)) for size in (length - 1, length, length + 1))]


def run_many(examples: int) -> settings:
    allowed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=allowed)


@run_many(80)
@given(NETWORKS, TEXTS)
def test_batch_norm_is_folded_exactly_in_float64(network: Network, texts: list[bytes]) -> None:
    state = {name: t.double() if t.is_floating_point() else t for name, t in network.state.items()}
    folded = FAMILY.convert(state, network.hyperparameters, "bytes", FOLDED)
    deployable = FAMILY.deployable(network.hyperparameters, "bytes", FOLDED).double().eval()
    deployable.load_state_dict(dict(folded))
    assert not any("bn" in name or "running" in name for name in folded)
    texts = texts_around(network, texts)
    assert np.abs(scores(deployable, texts) - network.reference(texts)).max() < 1e-12


@run_many(80)
@given(NETWORKS, TEXTS)
def test_generated_python_is_the_network(tmp_path: Path, network: Network, texts: list[bytes]) -> None:
    texts = texts_around(network, texts)
    predict = predict_of(network.artifact("python", tmp_path))
    found = [predict(text) for text in texts]
    deployable = FAMILY.deployable(network.hyperparameters, "bytes", FOLDED).eval()
    deployable.load_state_dict(network.folded)
    assert np.abs(found - scores(deployable.double(), texts)).max() < 1e-12
    sizes = network.hyperparameters
    assert abs(plain_loops(network.folded, texts[0], sizes["max_len"], sizes["pooling"]) - found[0]) < 1e-12
    assert np.abs(found - network.reference(texts)).max() < 1e-5  # folded weights are rounded to float32, once


@run_many(25)
@given(NETWORKS, TEXTS)
def test_hosted_json_is_the_generated_python(tmp_path: Path, network: Network, texts: list[bytes]) -> None:
    longest = 4 * network.hyperparameters["max_len"]
    texts = [text for text in texts_around(network, texts) if len(text) <= longest]
    predict = predict_of(network.artifact("python", tmp_path))
    run = load_format("json").load(network.artifact("json", tmp_path), threads=1)
    assert run(collated(texts))["score"][:, 0].tolist() == [predict(text) for text in texts]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("pooling", ["mean_max", "concat"])
def test_generated_cpp_is_the_network(tmp_path: Path, layers: int, norm: bool, pooling: str) -> None:
    kernels = {1: [3], 2: [4, 3], 3: [1, 5, 2]}[layers]
    convolutions = [[5 - place, kernel, norm] for place, kernel in enumerate(kernels)]
    network = Network.random(layers, convolutions=convolutions, pooling=pooling)
    run = load_format("cpp").load(network.artifact("cpp", tmp_path), threads=1)
    generator = np.random.default_rng(layers)
    texts = [*BORDERS, *(generator.bytes(size) for size in (1, 2, 12, 17, 18, 19, 20, 21, 22, 23, 24, 25, 40))]
    found = [run(collated([text]))["score"][0, 0] for text in texts]
    assert np.abs(found - network.reference(texts)).max() < 5e-6


@run_many(30)
@given(
    NETWORKS, st.sampled_from([("conv", "fc"), ("conv1d_", "classifier")]), st.sampled_from(["", "module.", "model."])
)
def test_other_spellings_and_missing_biases_are_the_same_network(
    network: Network, spelling: tuple[str, str], prefix: str
) -> None:
    convolution, dense = spelling
    state = {name: torch.zeros_like(t) if re.match(r"conv\d\.bias", name) else t for name, t in network.state.items()}
    respelt = {}
    for name, tensor in state.items():
        if re.match(r"conv\d\.bias", name):
            continue
        other = re.sub(r"^conv(?=\d)", convolution, name)
        if dense == "fc":
            other = other.replace("classifier.", "fc1.").replace("output.", "fc2.")
        respelt[prefix + other] = tensor
    found = FAMILY.own_names(respelt, "checkpoint")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    told = infer_hyperparameters(FAMILY, {name: tuple(tensor.shape) for name, tensor in respelt.items()})
    for name in ("embedding", "convolutions", "dense"):
        assert told[name] == network.hyperparameters[name]
    assert told.get("pooling") == ("concat" if network.hyperparameters["pooling"] == "concat" else None)
