"""Image classifiers: architectures read off checkpoints, and networks of timm by way of a stand-in for the package."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelferry.checkpoints.reader import fit
from modelferry.checkpoints.shapes import read_shapes
from modelferry.core.errors import CheckpointError, ConfigError, EventFileError
from modelferry.families import load_family
from modelferry.families.hyperparameters import infer_hyperparameters
from modelferry.formats import load_format

FAMILY = load_family("image_classifier")
IMAGENET = {"stages": [[2, 8], [1, 16]], "stem": 7, "shortcut": "conv", "classes": 5, "size": [32, 48]}


def network(**given: Any) -> nn.Module:
    torch.manual_seed(0)
    return FAMILY.reference(FAMILY.resolve(given, {})).eval()


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize(
    "given", [{}, IMAGENET, {"stages": [[1, 6]], "channels": 1}], ids=["CIFAR", "ImageNet", "grey"]
)
def test_architecture_is_read_off_torchvisions_names_too(given: Any, bottleneck: bool, tmp_path: Path) -> None:
    state = network(**given, bottleneck=bottleneck).state_dict()
    respelt = {n.replace("shortcut.", "downsample.").replace("linear.", "fc."): t for n, t in state.items()}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in respelt.items()}}, tmp_path / "a.pt")
    told = infer_hyperparameters(FAMILY, read_shapes(tmp_path / "a.pt"))
    known = FAMILY.resolve({"size": given.get("size", [32, 32])}, told)
    expected = FAMILY.resolve({**given, "bottleneck": bottleneck}, {})
    if not any("shortcut" in name for name in state):
        known["shortcut"] = expected["shortcut"]
    assert known == expected
    found = fit(FAMILY.load_weights(tmp_path / "a.pt", known), FAMILY.reference(known), tmp_path / "a.pt")
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("given", [IMAGENET, {**IMAGENET, "bottleneck": True}], ids=["basic", "bottleneck"])
def test_folded_deployable_equals_the_reference(given: Any) -> None:
    known = FAMILY.resolve({**given, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "pixels": "uint8"}, {})
    family, reference = FAMILY.configured(known), network(**known)
    for name, tensor in reference.state_dict().items():
        if name.endswith(("running_mean", "running_var", "bn1.bias", "bn2.weight")):
            tensor.add_(0.2 * torch.rand(tensor.shape))
    transforms = frozenset(family.transforms("images"))
    deployable = family.deployable(known, "images", transforms).eval()
    deployable.load_state_dict(family.convert(reference.state_dict(), known, "images", transforms))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployable.modules())
    image = torch.from_numpy(family.collate(family.sample({"images": 3}, 0), "images")["image"])
    with torch.inference_mode():
        truth = reference.double()(image)
        assert (truth[0] - truth[1]).abs().max() > 1e-3, "the network tells images apart"
        assert (deployable.double()(image) - truth).abs().max() < 1e-5


def test_normalisation_is_that_of_the_arguments() -> None:
    plain, inside = network(), network(mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4])
    image = torch.rand(2, 3, 32, 32)
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with torch.inference_mode():
        assert torch.equal(inside(image), plain((image - mean) / std))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"shortcut": "convolution"}, "did you mean 'conv'"),
        ({"pixels": "int8"}, "did you mean 'uint8'"),
        ({"mean": [0.1, 0.2]}, "mean has 2 numbers; give 3, one a channel"),
        ({"std": [0.0]}, "give deviations above 0"),
        ({"class_names": ["cat"]}, "the network has 10 classes"),
    ],
)
def test_mistakes_are_named_with_the_remedy(given: Any, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        FAMILY.resolve(given, {})


def test_file_without_images_is_refused_with_what_it_has(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 3, 8, 8)))
    with pytest.raises(EventFileError, match=r"needs one array of images \(3, 32, 32\), and has x \(4, 3, 8, 8\)"):
        FAMILY.read_events([tmp_path / "a.npz"], FAMILY.resolve({}, {}), 9)


class Backbone(nn.Module):
    """As timm's networks: made by name, with its own names of weights."""

    def __init__(self, num_classes: int, in_chans: int, width: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, width, 3)
        self.head = nn.Linear(width, num_classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(image).relu().mean((2, 3)))


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    def create_model(name: str, pretrained: bool, **options: Any) -> nn.Module:
        assert not pretrained
        if name != "tiny_vit":
            raise RuntimeError(f"Unknown model ({name})")
        return Backbone(**options)

    module = ModuleType("timm")
    module.create_model = create_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def test_network_of_timm_is_made_loaded_and_exported_with_its_own_names(timm: ModuleType, tmp_path: Path) -> None:
    trained = Backbone(7, 3, 5)
    averages = {name: tensor * 2 for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": trained.state_dict(), "state_dict_ema": averages}, tmp_path / "a.pt")
    given = {"timm": "tiny_vit", "classes": 7, "options": {"width": 5}, "mean": [0.5], "std": [0.2], "size": [9, 9]}
    known = FAMILY.resolve(given, infer_hyperparameters(FAMILY, read_shapes(tmp_path / "a.pt")))
    family = FAMILY.configured(known)
    assert family.transforms("images") == ()
    network = family.deployable(known, "images").eval()
    weights = fit(family.load_weights(tmp_path / "a.pt", known), network, tmp_path / "a.pt")
    network.load_state_dict(weights)
    inputs = family.collate(family.sample({"images": 2}, 1), "images")
    target, contract = load_format("torch_export"), family.contract(known, "images")
    target.build_template(network, contract, inputs, {}, tmp_path / "template")
    target.fill(tmp_path / "template", weights, {}, tmp_path / "model.exported.pt2")
    found = target.load(tmp_path / "model.exported.pt2", 1)(inputs)["logits"]
    with torch.inference_mode():
        truth = trained((torch.from_numpy(inputs["image"]) - 0.5) / 0.2).numpy()
    assert np.abs(found - truth).max() < 1e-6
    averaged = family.load_weights(tmp_path / "a.pt", {**known, "weights": "ema"})
    assert torch.equal(averaged["head.weight"], trained.head.weight * 2)
    with pytest.raises(CheckpointError, match=r"head\.weight \(7, 5\) instead of \(3, 5\)"):
        fit(weights, family.reference({**known, "classes": 3}), tmp_path / "a.pt")


def test_network_that_timm_does_not_know_is_named(timm: ModuleType) -> None:
    with pytest.raises(ConfigError, match=r"timm makes no network 'tiny': Unknown model \(tiny\)"):
        FAMILY.reference(FAMILY.resolve({"timm": "tiny"}, {}))


def test_without_timm_its_networks_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"not installed; pip install timm"):
        FAMILY.reference(FAMILY.resolve({"timm": "resnet18"}, {}))
