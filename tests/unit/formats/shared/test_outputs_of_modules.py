"""Dicts, tuples and lists of outputs, as of detection and segmentation, by their names in every format and in C++."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from modelferry.families import load_family
from modelferry.formats import format_names, load_format
from modelferry.runtimes import lacking, load_in
from tagger_samples import Detector

FAMILY = load_family("lightning")
NAMES = {
    "dict": ("boxes", "maps_1", "scores"),  # in another order than the module's, and one of its outputs left out
    "tuple": ("boxes", "scores", "maps"),
    "list": ("boxes", "scores", "maps"),
}
SHAPES = {
    "boxes": ["images", 2, 4],
    "scores": ["images", 2],
    "maps": ["images", 3, 6, 6],
    "maps_1": ["images", 3, 3, 6],
}
FORMATS = [name for name in format_names() if load_format(name).general and load_format(name).exactness == "exact"]
SLOW = {"aotinductor"}
"""Compiling takes half a minute for each."""


def known(how: str) -> dict:
    declared = {"class": "tagger_samples:Detector", "init": {"how": how}, "inputs": {"image": ["images", 1, 6, 6]}}
    return FAMILY.resolve({**declared, "outputs": {name: SHAPES[name] for name in NAMES[how]}}, {})


def expected(network: Detector, image: torch.Tensor, how: str) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        maps = network.body(image).relu()
        pooled = maps.mean((2, 3))
        values = {"boxes": network.boxes(pooled).view(-1, 2, 4), "scores": network.scores(pooled)}
        values |= {"maps": maps, "maps_1": maps[:, :, ::2]}
    return {name: values[name].numpy() for name in NAMES[how]}


@pytest.mark.parametrize("how", NAMES)
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in SLOW])
def test_outputs_have_their_names_in_every_format_and_runtime(name, how, tmp_path) -> None:
    target, hyperparameters = load_format(name), known(how)
    if missing := target.unavailable():
        pytest.skip(missing)
    family, contract = FAMILY.configured(hyperparameters), FAMILY.contract(hyperparameters, "inputs")
    torch.manual_seed(1)
    network = FAMILY.deployable(hyperparameters, "inputs")
    example = family.collate(family.sample({"images": 4}, 0), "inputs")
    template, out = tmp_path / "template", tmp_path / f"model.{target.extension}"
    target.build_template(network, contract, example, target.resolve_options({}), template)
    target.fill(template, network.state_dict(), {}, out)
    image = family.collate(family.sample({"images": 3}, 1), "inputs")
    truth = expected(network, torch.from_numpy(image["image"]), how)
    for runtime in target.runtimes:
        if not lacking(runtime):
            found = load_in(name, runtime, out, threads=1)(image)
            assert list(found) == list(truth)
            for output, value in truth.items():
                assert found[output].shape == value.shape
                assert np.abs(found[output] - value).max() < 1e-6, (runtime, output)
