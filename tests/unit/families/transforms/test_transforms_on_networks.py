"""Transforms of the charged-Higgs network: any set of them, in either layout, is the trained function."""

from itertools import chain, combinations

import numpy as np
import pytest
import torch
from torch import nn

from checkpoint_samples import formula_state
from modelferry.core.contract import Arrays
from modelferry.core.errors import ConfigError
from modelferry.families import load_family
from modelferry.families.transforms import (
    FOLD_BATCH_NORM,
    NONE,
    REMOVE_DROPOUT,
    SPLIT_EDGE_LINEAR,
    TRANSFORMS,
    resolve_transforms,
)

FAMILY = load_family("charged_higgs_particlenet")
SETTINGS = {"hidden": 16}
CASES = [
    (layout, frozenset(chosen))
    for layout in FAMILY.layouts
    for chosen in chain.from_iterable(combinations(FAMILY.transforms(layout), n) for n in range(4))
]


def rewritten(layout: str, transforms: frozenset[str], dtype: torch.dtype, salt: str = "") -> nn.Module:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in formula_state(16, salt).items()}
    network = FAMILY.deployable(SETTINGS, layout, transforms).to(dtype)
    network.load_state_dict(dict(FAMILY.convert(state, SETTINGS, layout, transforms)), strict=True)
    return network.eval()


def inputs_of(layout: str) -> Arrays:
    events = [FAMILY.sample({"events": 1, "particles": n}, n)[0] for n in (1, 2, 3, 5, 6, 11, 20)]
    return FAMILY.collate([*events, *FAMILY.special(1)["equal particles"]], layout)


def call(network: nn.Module, inputs: Arrays, dtype: torch.dtype) -> np.ndarray:
    tensors = [torch.from_numpy(value) for value in inputs.values()]
    with torch.inference_mode():
        return network(*(t.to(dtype) if t.is_floating_point() else t for t in tensors)).numpy()


@pytest.mark.parametrize("salt", ["", "other"])
@pytest.mark.parametrize(
    ("layout", "transforms"), CASES, ids=lambda value: value if isinstance(value, str) else "+".join(sorted(value))
)
def test_any_set_of_transforms_is_the_trained_function(layout: str, transforms: frozenset[str], salt: str) -> None:
    expected = call(rewritten("flat", NONE, torch.float64, salt), inputs_of("flat"), torch.float64)
    found = call(rewritten(layout, transforms, torch.float64, salt), inputs_of(layout), torch.float64)
    assert np.abs(found - expected).max() < 1e-12


@pytest.mark.parametrize("layout", FAMILY.layouts)
def test_each_transform_does_what_it_says(layout: str) -> None:
    def kinds(transforms: frozenset[str]) -> set[type]:
        return {type(module) for module in FAMILY.deployable(SETTINGS, layout, transforms).modules()}

    def has(transforms: frozenset[str], kind: type) -> bool:
        return any(issubclass(found, kind) for found in kinds(transforms))

    whole = FAMILY.transforms(layout)
    for name, kind in ((FOLD_BATCH_NORM, nn.BatchNorm1d), (REMOVE_DROPOUT, nn.Dropout)):
        assert has(NONE, kind)
        assert not has(frozenset([name]), kind)
        assert has(frozenset(whole) - {name}, kind)
    first = FAMILY.deployable(SETTINGS, layout, frozenset([SPLIT_EDGE_LINEAR])).state_dict()["conv2.node.weight"]
    assert first.shape == (32, 16)


@pytest.mark.parametrize("layout", FAMILY.layouts)
def test_without_transforms_weights_are_the_checkpoints_bit_for_bit(layout: str) -> None:
    state = formula_state(16)
    converted = FAMILY.convert(state, SETTINGS, layout)
    assert list(converted) == list(state) == list(FAMILY.deployable(SETTINGS, layout).state_dict())
    assert all(torch.equal(converted[name], state[name]) for name in state)


@pytest.mark.parametrize("layout", FAMILY.layouts)
def test_converted_weights_are_rounded_once(layout: str) -> None:
    transforms = frozenset(FAMILY.transforms(layout))
    single = FAMILY.convert(formula_state(16), SETTINGS, layout, transforms)
    doubled = {name: t.double() if t.is_floating_point() else t for name, t in formula_state(16).items()}
    double = FAMILY.convert(doubled, SETTINGS, layout, transforms)
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in single.values())
    assert all(torch.equal(single[name], double[name].float()) for name in double)
    assert list(single)[-2:] == ["output.weight", "output.bias"]


@pytest.mark.parametrize("layout", FAMILY.layouts)
def test_every_converted_tensor_reaches_the_output(layout: str) -> None:
    network = rewritten(layout, frozenset(FAMILY.transforms(layout)), torch.float64)
    inputs, state = inputs_of(layout), dict(network.state_dict())
    before = call(network, inputs, torch.float64)
    for name, tensor in state.items():
        network.load_state_dict({**state, name: tensor + 0.1})
        assert np.abs(call(network, inputs, torch.float64) - before).max() > 1e-6, name


def test_all_are_on_unless_switched_off() -> None:
    known = FAMILY.transforms("dense")
    assert resolve_transforms({}, known) == frozenset(known) == frozenset(TRANSFORMS)
    assert resolve_transforms({FOLD_BATCH_NORM: False, REMOVE_DROPOUT: True}, known) == frozenset(known) - {
        FOLD_BATCH_NORM
    }
    assert resolve_transforms({}, ()) == NONE


def test_misspelt_transform_is_an_error_that_names_the_right_one() -> None:
    with pytest.raises(ConfigError, match=FOLD_BATCH_NORM):
        resolve_transforms({"fold_batchnorm": True}, TRANSFORMS)
