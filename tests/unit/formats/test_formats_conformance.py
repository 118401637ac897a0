"""What every format must hold; a new one is in here by being registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from formats_samples import (
    CONTRACT,
    Awkward,
    eager,
    event_inputs,
    random_weights,
    without_edges,
)
from modelferry.core.errors import ArtifactError, ContractError
from modelferry.core.tolerances import Tolerance
from modelferry.formats import Format, Runner, format_names, load_format
from modelferry.formats.shared.weight_readback import altered, describe
from modelferry.stages.validation.invalid_inputs import malformed

TOLERANCE = Tolerance(rtol=1e-5, atol=1e-5)
"""Logits here are sums of terms of order 1 to 10, each rounded some ten times to 1.2e-7 of itself, in any order."""
SEEDS = (1, 2)
INPUTS = {
    "20 particles": event_inputs(20),
    "1 particle, no edge": event_inputs(1),
    "2 particles": event_inputs(2),
    "fewer particles than neighbours": event_inputs(4),
    "no edge": without_edges(event_inputs(20)),
    "5 events": event_inputs(20, 1, 5, 2, 9),
    "5 events of 1 particle": event_inputs(1, 1, 1, 1, 1),
    "5 events, no edge": without_edges(event_inputs(3, 3, 3, 3, 3)),
    "largest events": event_inputs(40, 40),
}
FLOATING = [name for name, tensor in Awkward().state_dict().items() if tensor.is_floating_point()]


@dataclass(frozen=True)
class Case:
    """A format with its template."""

    target: Format
    template: Path

    def fill(self, weights: dict[str, torch.Tensor], folder: Path, name: str = "model") -> Path:
        out = folder / f"{name}.{self.target.extension}"
        self.target.fill(self.template, weights, {"model": "campaign/fold-3"}, out)
        return out

    def same(self, first: Path, second: Path) -> bool:
        """Return whether files are equal: in their bytes, or else in their size and all bits of their outputs."""
        if self.target.reproducible:
            return first.read_bytes() == second.read_bytes()
        inputs = INPUTS["5 events"]
        outputs = [self.target.load(path, threads=1)(inputs)["logits"] for path in (first, second)]
        return first.stat().st_size == second.stat().st_size and np.array_equal(*outputs)

    def equal(self, found: np.ndarray, expected: np.ndarray) -> bool:
        if self.target.bitwise:
            return np.array_equal(found, expected)
        return bool(np.allclose(found, expected, rtol=TOLERANCE.rtol, atol=TOLERANCE.atol))


EXACT = [name for name in format_names() if load_format(name).exactness == "exact" and load_format(name).general]
SPECIAL = [name for name in format_names() if not load_format(name).general]


@pytest.fixture(scope="module", params=EXACT)
def case(request, template_of) -> Case:
    return Case(load_format(request.param), template_of(request.param))


@pytest.fixture(scope="module")
def runners(case, tmp_path_factory) -> dict[int, Runner]:
    folder = tmp_path_factory.mktemp(case.target.name)
    paths = {seed: case.fill(random_weights(seed), folder, f"model-{seed}") for seed in SEEDS}
    return {seed: case.target.load(path, threads=1) for seed, path in paths.items()}


@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("seed", SEEDS)
def test_filled_template_equals_its_own_deployable(case, runners, seed, inputs):
    found, expected = runners[seed](inputs), eager(random_weights(seed), inputs)
    assert list(found) == [tensor.name for tensor in CONTRACT.outputs]
    assert found["logits"].dtype == np.float32
    assert case.equal(found["logits"], expected)


def test_filled_templates_differ_from_one_another(runners):
    inputs = INPUTS["20 particles"]
    assert np.abs(runners[1](inputs)["logits"] - runners[2](inputs)["logits"]).max() > 0.1


@settings(max_examples=25, deadline=None, derandomize=True)
@given(particles=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 2**16))
def test_any_sizes_of_the_contract_equal_the_deployable(case, runners, particles, seed):
    inputs = event_inputs(*particles, seed=seed)
    assert case.equal(runners[1](inputs)["logits"], eager(random_weights(1), inputs))


def test_each_weight_reaches_the_output_from_its_own_place(case, tmp_path):
    weights, inputs = random_weights(1), INPUTS["20 particles"]
    before = case.target.load(case.fill(weights, tmp_path), threads=1)(inputs)["logits"]
    for number, name in enumerate(FLOATING):
        changed = {**weights, name: weights[name] + 0.5}
        after = case.target.load(case.fill(changed, tmp_path, f"changed-{number}"), threads=1)(inputs)["logits"]
        assert np.abs(after - before).max() > 1e-4, f"{name} has no effect"
        assert case.equal(after, eager(changed, inputs)), f"{name} is misplaced"


def test_integers_that_the_graph_reads_are_weights_too(case, tmp_path):
    weights, inputs = random_weights(1), INPUTS["20 particles"]
    turned = {**weights, "order": weights["order"].roll(1)}
    run = case.target.load(case.fill(turned, tmp_path), threads=1)
    assert case.equal(run(inputs)["logits"], eager(turned, inputs))


def test_template_is_blank(case, tmp_path):
    slot = {name: torch.zeros_like(tensor) for name, tensor in random_weights(1).items()}
    filled = case.target.load(case.fill(slot, tmp_path), threads=1)(INPUTS["2 particles"])["logits"]
    unfilled = case.target.load(case.template, threads=1)(INPUTS["2 particles"])["logits"]
    np.testing.assert_array_equal(unfilled, filled)


def test_building_a_template_leaves_the_deployable_alone(case):
    if case.target.name == "aotinductor":
        pytest.skip("one compilation is enough: its templates start like those of torch_export")
    network = Awkward().eval()
    network.load_state_dict(random_weights(1))
    options = case.target.resolve_options({})
    case.target.build_template(network, CONTRACT, INPUTS["5 events"], options, case.template.with_suffix(".again"))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, random_weights(1)[name]), name


def test_filling_twice_gives_the_same_file(case, tmp_path):
    first = case.fill(random_weights(1), tmp_path, "first")
    second = case.fill(random_weights(1), tmp_path, "second")
    assert case.same(first, second)
    assert not case.same(first, case.fill(random_weights(2), tmp_path, "other"))


@pytest.mark.parametrize("name", ["temperature", "shift", "output.bias", "first.2.running_mean", "order"])
def test_forgotten_weight_is_refused_by_name(case, tmp_path, name):
    weights = random_weights(1)
    del weights[name]
    with pytest.raises(ArtifactError, match=name):
        case.fill(weights, tmp_path)


def test_unknown_weight_is_refused_by_name(case, tmp_path):
    with pytest.raises(ArtifactError, match=r"head\.weight"):
        case.fill({**random_weights(1), "head.weight": torch.ones(2)}, tmp_path)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("output.weight", torch.ones(4, 28)),
        ("first.0.weight", torch.ones(18, 8)),
        ("output.bias", torch.ones(4, dtype=torch.float64)),
        ("shift", torch.tensor(1.0)),
    ],
    ids=["other width", "transposed", "float64", "number for a vector"],
)
def test_weight_of_another_shape_or_type_is_refused_by_name(case, tmp_path, name, wrong):
    with pytest.raises(ArtifactError, match=name):
        case.fill({**random_weights(1), name: wrong}, tmp_path)


def test_weights_may_lie_in_memory_as_they_like(case, tmp_path):
    weights = random_weights(1)
    shuffled = {name: tensor.t().contiguous().t() if tensor.dim() == 2 else tensor for name, tensor in weights.items()}
    assert case.same(case.fill(weights, tmp_path, "a"), case.fill(shuffled, tmp_path, "b"))


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"PK\x03\x04" + bytes(500)], ids=["empty", "text", "zip"])
def test_file_of_something_else_is_refused(case, tmp_path, content):
    path = tmp_path / f"model.{case.target.extension}"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=path.name):
        case.target.load(path, threads=1)


def test_truncated_file_is_refused(case, tmp_path):
    path = case.fill(random_weights(1), tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ArtifactError, match=path.name):
        case.target.load(path, threads=1)


def test_missing_file_is_refused(case, tmp_path):
    path = tmp_path / f"model.{case.target.extension}"
    with pytest.raises(ArtifactError, match=path.name):
        case.target.load(path, threads=1)


@pytest.mark.parametrize(
    "broken",
    [
        {"x": np.zeros((2, 9))},
        {"x": np.zeros((2, 8), np.float32)},
        {"batch": np.zeros(3, np.int64)},
        {"graph_input": np.zeros((0, 4), np.float32)},
    ],
    ids=["float64", "8 features", "another number of particles", "no event"],
)
def test_inputs_outside_the_contract_are_rejected(runners, broken):
    with pytest.raises(ContractError):
        runners[1]({**INPUTS["2 particles"], **broken})


@pytest.mark.parametrize(
    "laid",
    [
        np.asfortranarray,
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: np.repeat(a, 2, axis=0)[::2],
    ],
    ids=["by columns", "backwards", "with gaps"],
)
def test_inputs_may_lie_in_memory_as_they_like(case, runners, laid):
    """Compiled code takes rows for granted: it gave another event's outputs, without a word."""
    inputs = INPUTS["5 events"]
    found = runners[1]({name: laid(array) for name, array in inputs.items()})["logits"]
    np.testing.assert_array_equal(found, runners[1](inputs)["logits"])


def test_every_malformed_input_is_rejected(runners):
    cases = list(malformed(CONTRACT, INPUTS["5 events"]))
    assert len(cases) > 50
    for broken in cases:
        with pytest.raises(ContractError):
            runners[1](dict(broken.inputs))


def test_contract_and_metadata_are_inside(case, tmp_path):
    content = case.fill(random_weights(1), tmp_path).read_bytes()
    assert CONTRACT.model_dump_json().encode() in content
    assert b"campaign/fold-3" in content


def test_weights_are_read_back_bit_by_bit(case, tmp_path):
    if not case.target.keeps_weights:
        pytest.skip("weights are folded into one another")
    weights = random_weights(1)
    inside = case.target.read_weights(case.fill(weights, tmp_path))
    assert set(FLOATING) | {"order"} <= inside.keys() <= weights.keys()
    assert altered(inside, weights) == []


@pytest.mark.parametrize("name", ["temperature", "shift", "output.bias", "second.0.weight", "order"])
def test_one_flipped_bit_is_found_in_its_tensor(case, tmp_path, name):
    if not case.target.keeps_weights:
        pytest.skip("weights are folded into one another")
    weights = random_weights(1)
    flipped = weights[name].clone()
    flipped.view(-1)[-1:].view(torch.uint8)[0] ^= 1
    inside = case.target.read_weights(case.fill({**weights, name: flipped}, tmp_path))
    (found,) = altered(inside, weights)
    assert (found.name, found.count, found.total) == (name, 1, weights[name].numel())
    assert 0 < found.largest < (2 if name == "order" else 1e-6)
    assert f"'{name}' (1 of " in describe([found])


@pytest.mark.parametrize("name", SPECIAL)
def test_format_for_some_networks_says_of_another_what_it_cannot_hold(name, tmp_path):
    target = load_format(name)
    with pytest.raises(ArtifactError, match=f"format {name} cannot hold this network: it has several inputs"):
        target.build_template(Awkward().eval(), CONTRACT, INPUTS["5 events"], {}, tmp_path / "template")
