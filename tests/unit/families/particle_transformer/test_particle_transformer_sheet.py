"""The Particle Transformer with the sheet's formula weights against the outputs of weaver, on six jets."""

from typing import Any

import numpy as np
import pytest
import torch

from jet_samples import formula_weights, jets_of
from modelferry.core.contract import Arrays
from modelferry.core.errors import ConfigError
from modelferry.families import load_family
from modelferry.families.jets.base import PREPARED, RAW, JetFamily
from modelferry.families.transforms import NONE
from sheets import expected_figures

FAMILY = load_family("particle_transformer")
SHEET = expected_figures("particle_transformer")
EXACT = 1e-5
"""The sheet: 2.7e-6 in logits and 3.1e-6 in the embedding between two implementations; mistakes cost 6e-4 and more."""
SOPHON = {"classes": 188, "dense": [512], "pair_activation": False}
CASES = {
    "sophon transposed": ({**SOPHON, "head_scaling": "transposed"}, "head_scale_transposed", "logits"),
    "sophon plain": ({**SOPHON, "head_scaling": "plain"}, "head_scale_plain", "logits"),
    "jetclass transposed": ({"pair_activation": True}, "jetclass_part", "logits_transposed"),
    "jetclass plain": ({"pair_activation": True, "head_scaling": "plain"}, "jetclass_part", "logits_plain"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[JetFamily, dict[str, Any], list[Arrays], dict[str, np.ndarray]]:
    given, section, logits = CASES[request.param]
    hyperparameters = FAMILY.resolve(given, {})
    family = load_family("particle_transformer").configured(hyperparameters)
    assert isinstance(family, JetFamily)
    events = [jets_of(family)[jet] for jet in SHEET["jet_indices"]]
    wanted = {"logits": np.array(SHEET[section][logits])}
    if "embedding" in SHEET[section]:
        wanted["embedding"] = np.array(SHEET[section]["embedding"])
    return family, hyperparameters, events, wanted


def outputs(
    family: JetFamily, network: torch.nn.Module, events: list[Arrays], layout: str, dtype: torch.dtype = torch.float32
) -> dict[str, np.ndarray]:
    inputs = family.collate(events, layout)
    tensors = [torch.from_numpy(value) for value in inputs.values()]
    with torch.inference_mode():
        found = network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors))
    return dict(zip(("logits", "embedding"), (value.numpy() for value in found), strict=True))


def with_formula(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return formula_weights({name: tuple(value.shape) for name, value in network.state_dict().items()})


def test_reference_in_both_precisions_and_deployables_give_the_outputs_of_weaver(case: Any) -> None:
    family, hyperparameters, events, wanted = case
    reference = family.reference(hyperparameters).eval()
    weights = with_formula(reference)
    reference.load_state_dict(weights, strict=True)
    found = [outputs(family, reference, events, PREPARED)]
    found.append(outputs(family, family.double(reference), events, PREPARED, torch.float64))
    for layout in (PREPARED, RAW):
        for transforms in (NONE, frozenset(family.transforms(layout))):
            network = family.deployable(hyperparameters, layout, transforms).eval()
            network.load_state_dict(dict(family.convert(weights, hyperparameters, layout, transforms)), strict=True)
            found.append(outputs(family, network, events, layout))
            alone = [outputs(family, network, [event], layout) for event in events]
            found.append({name: np.concatenate([row[name] for row in alone]) for name in alone[0]})
    for values in found:
        for name, truth in wanted.items():
            assert np.abs(values[name] - truth).max() < EXACT, name


def test_formula_gives_the_sheets_first_weights() -> None:
    weights = formula_weights({"cls_token": (1, 1, 128), "blocks.0.c_attn": (8,), "embed.embed.1.weight": (128, 17)})
    assert weights.keys() == SHEET["first_weights"].keys()
    for name, first in SHEET["first_weights"].items():
        assert weights[name].flatten()[:3].tolist() == pytest.approx(first, abs=1e-8 if name == "cls_token" else 1e-7)


def test_mistakes_in_the_network_are_far_beyond_rounding() -> None:
    hyperparameters = FAMILY.resolve(SOPHON, {})
    family = load_family("particle_transformer").configured(hyperparameters)
    assert isinstance(family, JetFamily)
    events = family.sample({"jets": 4, "particles": 20}, 1)
    trained = family.reference(hyperparameters).eval()
    trained.load_state_dict(with_formula(trained))
    truth = outputs(family, trained, events, PREPARED)["logits"]
    for name, spoil in family.broken_networks().items():
        network = family.reference(hyperparameters).eval()
        network.load_state_dict(trained.state_dict())
        assert np.abs(outputs(family, spoil(network), events, PREPARED)["logits"] - truth).max() > 0.1, name


@pytest.mark.parametrize("spelling", [".in_proj_", ".in_proj."])
def test_both_spellings_of_the_packed_projection_are_read(spelling: str) -> None:
    network = FAMILY.reference(FAMILY.hyperparameters)
    state = {name.replace(".in_proj.", spelling): value for name, value in network.state_dict().items()}
    assert set(FAMILY.own_names(state, "x")) == set(network.state_dict())
    told = FAMILY.infer({name: tuple(value.shape) for name, value in state.items()})
    assert {name: FAMILY.hyperparameters[name] for name in told} == told
    assert set(FAMILY.hyperparameters) - set(told) == {"head_scaling", "pair_activation", "card", "card_sha256"}


def test_shapes_tell_sophon_and_its_card() -> None:
    network = FAMILY.reference({**FAMILY.hyperparameters, **SOPHON})
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = FAMILY.resolve({"pair_activation": False}, FAMILY.infer(shapes))
    assert (found["classes"], found["dense"], found["card"]) == (188, [512], "JetClassII_full")
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_304_688


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "needs the hyperparameter pair_activation; true for JetClass, false for Sophon"),
        ({"pair_activation": True, "head_scaling": "plane"}, "did you mean 'plain'?"),
        ({"pair_activation": True, "card": "JetClass_kin"}, "has 7 features, and the network takes 17"),
        ({"pair_activation": True, "features": 12}, "no data card is known for 12 features"),
        ({"pair_activation": True, "card_sha256": "0" * 64}, "is not the one with sha256"),
    ],
)
def test_what_no_checkpoint_tells_is_never_guessed(given: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted.replace("?", r"\?")):
        FAMILY.resolve(given, {})


def test_settings_stand_in_the_contract() -> None:
    hyperparameters = FAMILY.resolve({**SOPHON, "head_scaling": "plain"}, {})
    contract = FAMILY.contract(hyperparameters, RAW)
    assert any("plain form" in note and "not followed" in note for note in contract.notes)
    assert [(output.name, output.shape) for output in contract.outputs] == [
        ("logits", ("jets", 188)),
        ("embedding", ("jets", 128)),
    ]
    assert contract.classes[28] == "X_YY_bbq"
