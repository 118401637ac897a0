"""What every format must hold; a new one is in here by being registered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelferry.core.errors import ArtifactError, ContractError
from modelferry.formats import Format, format_names, load_format
from modelferry.formats.shared.weight_readback import altered, describe
from modelferry.stages.validation.invalid_inputs import malformed
from modelferry.testing import FormatConformance
from modelferry.testing.sample_network import AWKWARD, CONTRACT, Awkward, eager, event_inputs, random_weights

EXACT = [name for name in format_names() if load_format(name).exactness == "exact" and load_format(name).general]
SPECIAL = [name for name in format_names() if not load_format(name).general]


class TestFormats(FormatConformance):
    """The suite that users run, and what holds for the formats of this package beyond it."""

    @pytest.fixture(scope="module", params=EXACT)
    @classmethod
    def target(cls, request: pytest.FixtureRequest) -> Format:
        return load_format(request.param)

    @pytest.fixture(scope="module")
    @classmethod
    def template(cls, target, template_of) -> Path:
        return template_of(target.name)

    test_building_a_template_leaves_the_deployable_alone = None  # `template_of` looks: compiling once is enough

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(particles=st.lists(st.integers(1, 40), min_size=1, max_size=12), seed=st.integers(0, 2**16))
    def test_any_sizes_of_the_contract_equal_the_deployable(self, target, runners, particles, seed):
        inputs = event_inputs(*particles, seed=seed)
        assert self.equal(target, runners[1](inputs), AWKWARD.eager(random_weights(1), inputs))

    def test_template_is_blank(self, target, template, tmp_path):
        zero = {name: torch.zeros_like(tensor) for name, tensor in random_weights(1).items()}
        inputs = AWKWARD.calls["2 particles"]
        filled = target.load(self.fill(target, template, zero, tmp_path), threads=1)(inputs)["logits"]
        np.testing.assert_array_equal(target.load(template, threads=1)(inputs)["logits"], filled)

    def test_every_malformed_input_is_rejected(self, runners):
        cases = list(malformed(CONTRACT, AWKWARD.calls["5 events"]))
        assert len(cases) > 50
        for broken in cases:
            with pytest.raises(ContractError):
                runners[1](dict(broken.inputs))

    def test_contract_and_metadata_are_inside(self, target, template, tmp_path):
        content = self.fill(target, template, random_weights(1), tmp_path).read_bytes()
        assert CONTRACT.model_dump_json().encode() in content
        assert b"campaign/fold-3" in content

    @pytest.mark.parametrize("name", ["temperature", "shift", "output.bias", "second.0.weight", "order"])
    def test_one_flipped_bit_is_found_in_its_tensor(self, target, template, tmp_path, name):
        if not target.keeps_weights:
            pytest.skip("weights are folded into one another")
        weights = random_weights(1)
        flipped = weights[name].clone()
        flipped.view(-1)[-1:].view(torch.uint8)[0] ^= 1
        inside = target.read_weights(self.fill(target, template, {**weights, name: flipped}, tmp_path))
        (change,) = altered(inside, weights)
        assert (change.name, change.count, change.total) == (name, 1, weights[name].numel())
        assert 0 < change.largest < (2 if name == "order" else 1e-6)
        assert f"'{name}' (1 of " in describe([change])


@pytest.mark.parametrize("name", format_names())
def test_format_is_named_like_its_module_and_has_defaults(name: str) -> None:
    target = load_format(name)
    assert target.name == name
    assert target.resolve_options({}) == {option: values[0] for option, values in target.options.items()}


@pytest.mark.parametrize("name", SPECIAL)
def test_format_for_some_networks_says_of_another_what_it_cannot_hold(name, tmp_path):
    target = load_format(name)
    with pytest.raises(ArtifactError, match=f"format {name} cannot hold this network: it has several inputs"):
        target.build_template(Awkward().eval(), CONTRACT, AWKWARD.calls["5 events"], {}, tmp_path / "template")


def test_weights_of_the_sample_change_the_outputs_a_lot() -> None:
    inputs = AWKWARD.calls["20 particles"]
    assert np.abs(eager(random_weights(1), inputs) - eager(random_weights(2), inputs)).max() > 0.1
