"""The real CIFAR-10 ResNet-20 classifies the shipped image right in every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelferry.checkpoints.reader import fit
from modelferry.checkpoints.shapes import read_shapes
from modelferry.families import load_family
from modelferry.families.hyperparameters import infer_hyperparameters
from modelferry.families.transforms import resolve_transforms
from modelferry.formats import format_names, load_format
from sheets import DATA, expected_figures, needs

FILES = ("pytorch_resnet_cifar10/resnet20-12fca82f.th", "finn/cifar10-test-data-class3.npz")
CHECKPOINT, IMAGE = (DATA / name for name in FILES)
LOGITS = expected_figures("resnet20")["logits"]
"""Class 3 is right."""
NORMALISED = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
FORMATS = [name for name in format_names() if load_format(name).general]
COMPILED = {"aotinductor"}
"""Tried on all formats' own small network, and by `bench/real_checkpoints.py` on this one: it takes half a minute."""
CLOSE = {"exact": 3e-5, "approximation": 3.0}

pytestmark = needs(*FILES)


def hyperparameters(**given: Any) -> Mapping[str, Any]:
    family = load_family("image_classifier")
    return family.resolve({**NORMALISED, **given}, infer_hyperparameters(family, read_shapes(CHECKPOINT)))


def test_architecture_is_read_off_the_checkpoint() -> None:
    found = hyperparameters()
    assert (found["stages"], found["classes"], found["channels"]) == ([[3, 16], [3, 32], [3, 64]], 10, 3)
    assert (found["stem"], found["shortcut"], found["bottleneck"]) == (3, "pad", False)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("resnet20")

    def fill(name: str, **given: Any) -> Path:
        target, known = load_format(name), hyperparameters(**given)
        if missing := target.unavailable():
            pytest.skip(missing)
        family = load_family("image_classifier").configured(known)
        transforms = resolve_transforms({}, family.transforms("images"))
        network = family.deployable(known, "images", transforms).eval()
        reference = family.reference(known)
        weights = fit(family.load_weights(CHECKPOINT, known), reference, CHECKPOINT)
        example = family.collate(family.sample({"images": 4}, seed=0), "images")
        template, out = folder / f"template-{name}", folder / f"resnet20.{target.extension}"
        contract = family.contract(known, "images")
        target.build_template(network, contract, example, target.resolve_options({}), template)
        target.fill(template, family.convert(weights, known, "images", transforms), {"model": "resnet20"}, out)
        return out

    return fill


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in COMPILED])
def test_image_is_a_cat_with_the_recorded_logits(filled: Callable[..., Path], name: str) -> None:
    target, image = load_format(name), np.load(IMAGE)["arr_0"]
    run = target.load(filled(name), threads=1)
    (logits,) = run({"image": (image / 255).astype(np.float32)})["logits"]
    assert np.argmax(logits) == 3
    assert np.abs(logits - LOGITS).max() < CLOSE[target.exactness]


def test_image_of_bytes_is_a_cat_too(filled: Callable[..., Path]) -> None:
    run = load_format("onnx").load(filled("onnx", pixels="uint8"), threads=1)
    (logits,) = run({"image": np.load(IMAGE)["arr_0"]})["logits"]
    assert np.abs(logits - LOGITS).max() < CLOSE["exact"]


def test_without_normalisation_the_logits_are_others() -> None:
    family, known = load_family("image_classifier"), hyperparameters(mean=[], std=[])
    network = family.reference(known).eval()
    network.load_state_dict(fit(family.load_weights(CHECKPOINT, known), network, CHECKPOINT))
    with torch.inference_mode():
        logits = network(torch.from_numpy((np.load(IMAGE)["arr_0"] / 255).astype(np.float32)))[0].numpy()
    assert np.abs(logits - LOGITS).max() > 1


def test_shipped_image_is_read_as_a_real_event() -> None:
    known = hyperparameters()
    events = load_family("image_classifier").configured(known).read_events([IMAGE], known, limit=5)
    assert len(events) == 1
    assert events.events[0]["image"].dtype == np.float32
    assert events.events[0]["image"].max() <= 1
