"""Image classifiers: ResNets of CIFAR and of torchvision's layout, in PyTorch alone, and the networks of timm."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelferry.checkpoints.shapes import Shapes
from modelferry.core.contract import Arrays, Contract, Dimension, Tensor
from modelferry.core.errors import ConfigError, EventFileError, did_you_mean
from modelferry.core.events import UNKNOWN, EventSet, join
from modelferry.families import Family
from modelferry.families.shared.checkpoint_names import renamed
from modelferry.families.shared.npz_file import read_npz
from modelferry.families.transforms import FOLD_BATCH_NORM, NONE

if TYPE_CHECKING:
    import torch

    from modelferry.families import StateDict

SHORTCUTS, PIXELS = ("pad", "conv"), ("float32", "uint8")
OTHER_NAMES = ((re.compile(r"(^|\.)downsample\."), r"\1shortcut."), (re.compile(r"(^|\.)fc\."), r"\1linear."))
IMAGES = Dimension(name="images", minimum=1, typical=8, maximum=64, description="images of a call")
NETWORK = ("stages", "bottleneck", "stem", "shortcut", "classes", "channels", "mean", "std")
"""Hyperparameters that make a ResNet."""
COARSE = 4
"""Synthetic images are noise on patches of so many pixels, as large as their finer noise or larger."""


class ImageClassifier(Family):
    """Images to logits; scaling and normalisation of pixels are inside the network that ships."""

    name = "image_classifier"
    layouts = ("images",)
    reference_layout = "images"
    batch = "images"
    packages = ("torch", "timm")
    hyperparameters = {
        "timm": "",
        "options": {},
        "stages": [[3, 16], [3, 32], [3, 64]],
        "bottleneck": False,
        "stem": 3,
        "shortcut": SHORTCUTS[0],
        "classes": 10,
        "channels": 3,
        "size": [32, 32],
        "pixels": PIXELS[0],
        "mean": [],
        "std": [],
        "class_names": [],
        "weights": "state_dict",
    }

    def __init__(self, hyperparameters: Mapping[str, Any] | None = None) -> None:
        self.known = self.hyperparameters if hyperparameters is None else hyperparameters

    def configured(self, hyperparameters: Mapping[str, Any]) -> ImageClassifier:
        """Return the family with these sizes of images."""
        return type(self)(hyperparameters)

    def infer(self, shapes: Shapes) -> dict[str, Any]:
        """Read stages, kind of block, stem, shortcuts, classes and channels off the shapes of a ResNet."""
        shapes = {renamed(name, OTHER_NAMES): shape for name, shape in shapes.items()}
        stem, last = shapes.get("conv1.weight", ()), shapes.get("linear.weight", ())
        if len(stem) != 4 or len(last) != 2 or "layer1.0.conv1.weight" not in shapes:
            return {}
        stages: list[list[int]] = []
        while f"layer{len(stages) + 1}.0.conv1.weight" in shapes:
            stage, blocks = f"layer{len(stages) + 1}", 0
            while f"{stage}.{blocks}.conv1.weight" in shapes:
                blocks += 1
            stages.append([blocks, shapes[f"{stage}.0.conv1.weight"][0]])
        return {
            "stages": stages,
            "bottleneck": "layer1.0.conv3.weight" in shapes,
            "stem": stem[2],
            "shortcut": SHORTCUTS[any(".shortcut." in name for name in shapes)],
            "classes": last[0],
            "channels": stem[1],
        }

    def resolve(self, given: Mapping[str, Any], inferred: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters; of a network of timm, none is read off the checkpoint."""
        known = super().resolve(given, {} if given.get("timm") else inferred)
        for name, allowed in (("shortcut", SHORTCUTS), ("pixels", PIXELS)):
            if known[name] not in allowed:
                raise ConfigError(f"{name} cannot be '{known[name]}'", did_you_mean(str(known[name]), allowed))
        for name in ("mean", "std"):
            if len(known[name]) not in (0, 1, known["channels"]):
                raise ConfigError(f"{name} has {len(known[name])} numbers", f"give {known['channels']}, one a channel")
        if len(known["class_names"]) not in (0, known["classes"]):
            raise ConfigError(f"{len(known['class_names'])} class_names", f"the network has {known['classes']} classes")
        if min(known["std"], default=1.0) <= 0:
            raise ConfigError(f"std is {known['std']}", "give deviations above 0")
        return known

    def load_weights(self, path: Path | str, hyperparameters: Mapping[str, Any]) -> StateDict:
        """Return the weights that `weights` names, under the reference's names."""
        from modelferry.checkpoints.ema import weights_at

        state = weights_at(Path(path), hyperparameters["weights"])
        patterns = () if hyperparameters["timm"] else OTHER_NAMES
        return {renamed(name, patterns): tensor for name, tensor in state.items()}

    def contract(self, hyperparameters: Mapping[str, Any], layout: str) -> Contract:
        """Return the contract: images in, logits out."""
        height, width = hyperparameters["size"]
        bytes_ = hyperparameters["pixels"] == "uint8"
        mean, std = ([float(number) for number in hyperparameters[name]] for name in ("mean", "std"))
        inside = f"mean {mean or 0} is subtracted and the result divided by {std or 1}, a channel each, inside"
        return Contract(
            layout=layout,
            inputs=(
                Tensor(
                    name="image",
                    dtype=hyperparameters["pixels"],
                    shape=("images", hyperparameters["channels"], height, width),
                    description=f"pixels from 0 to {255 if bytes_ else 1}, channels first"
                    + (", red, green, blue" if hyperparameters["channels"] == 3 else ""),
                ),
            ),
            outputs=(Tensor(name="logits", dtype="float32", shape=("images", hyperparameters["classes"])),),
            dimensions=(IMAGES,),
            classes=tuple(hyperparameters["class_names"]),
            notes=(inside,) if mean or std else (),
        )

    def reference(self, hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
        """Return the network as trained, with its normalisation before it."""
        if hyperparameters["timm"]:
            return _backbone(hyperparameters)
        from modelferry.families.image_classifier.resnet_reference import ResNet

        return ResNet(**{name: hyperparameters[name] for name in NETWORK})

    def transforms(self, layout: str) -> tuple[str, ...]:
        """Return batch-norm folding; networks of timm stay as they are."""
        return () if self.known["timm"] else (FOLD_BATCH_NORM,)

    def deployable(
        self, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> torch.nn.Module:
        """Return the network as a sequence, or timm's own."""
        if hyperparameters["timm"]:
            return _backbone(hyperparameters)
        from modelferry.families.image_classifier.resnet import network

        return network(**{name: hyperparameters[name] for name in NETWORK}, transforms=transforms)

    def convert(
        self, state_dict: StateDict, hyperparameters: Mapping[str, Any], layout: str, transforms: frozenset[str] = NONE
    ) -> StateDict:
        """Return the weights as they are, or with batch norms folded in."""
        from modelferry.families.image_classifier.resnet import converted

        return converted(state_dict, transforms)

    def sample(self, dims: Mapping[str, int], seed: int) -> list[Arrays]:
        """Return images of coarse patches under fine noise, each of its own contrast."""
        rng = np.random.default_rng(seed)
        shape = (self.known["channels"], *self.known["size"])
        coarse = (shape[0], *(-(-size // COARSE) for size in shape[1:]))
        images = []
        for _ in range(dims["images"]):
            patches = rng.random(coarse).repeat(COARSE, axis=1).repeat(COARSE, axis=2)[:, : shape[1], : shape[2]]
            images.append(self._event(np.clip(patches + rng.uniform(0, 0.3) * rng.normal(size=shape), 0, 1)))
        return images

    def special(self, seed: int) -> dict[str, list[Arrays]]:
        """Return images of one colour."""
        shape = (self.known["channels"], *self.known["size"])
        return {"one colour": [self._event(np.full(shape, value)) for value in (0.0, 0.5, 1.0)]}

    def collate(self, events: Sequence[Arrays], layout: str) -> Arrays:
        """Put images side by side."""
        return {"image": np.stack([event["image"] for event in events])}

    def read_events(
        self, paths: Sequence[Path], hyperparameters: Mapping[str, Any], limit: int, **options: Any
    ) -> EventSet:
        """Return images of ``.npz`` files: one array (N, C, H, W), bytes or numbers from 0 to 1, and maybe `labels`."""
        sets: list[EventSet] = []
        configured = self.configured(hyperparameters)
        shape = (hyperparameters["channels"], *hyperparameters["size"])
        for path in paths:
            images, labels = _read(path, shape)
            count = max(0, min(limit - sum(len(part) for part in sets), len(images)))
            events = [configured._event(image) for image in images[:count]]
            sets.append(EventSet(events, labels[:count], np.ones(count), str(path)))
        return join(sets)

    def broken_inputs(self, layout: str | None = None) -> dict[str, Callable[[Arrays, Contract], Arrays]]:
        """Return images turned by the way they lie in memory, with channels the other way round, or too bright."""
        broken: dict[str, Callable[[Arrays, Contract], Arrays]] = {
            "images upside down": lambda inputs, _: {"image": inputs["image"][:, :, ::-1].copy()}
        }
        if self.known["channels"] > 1:
            broken["channels in reverse order"] = lambda inputs, _: {"image": inputs["image"][:, ::-1].copy()}
        if self.known["pixels"] == "float32":
            broken["pixels from 0 to 255"] = lambda inputs, _: {"image": inputs["image"] * np.float32(255)}
        return broken

    def _event(self, image: np.ndarray) -> Arrays:
        """Return an image of bytes, or of numbers from 0 to 1, in the type of the contract."""
        numbers = image / 255 if image.dtype == np.uint8 else image
        if self.known["pixels"] == "uint8":
            return {"image": np.rint(numbers * 255).astype(np.uint8)}
        return {"image": numbers.astype(np.float32)}


def _backbone(hyperparameters: Mapping[str, Any]) -> torch.nn.Module:
    from modelferry.families.image_classifier.timm_backbone import backbone

    names = ("classes", "channels", "options", "mean", "std")
    return backbone(hyperparameters["timm"], **{name: hyperparameters[name] for name in names})


def _read(path: Path, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    arrays = read_npz(path)
    labels = arrays.pop("labels", None)
    fitting = [array for array in arrays.values() if array.shape[1:] == shape]
    if len(fitting) != 1:
        given = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise EventFileError(f"{path} needs one array of images {shape}, and has {given}", "see docs/lightning.md")
    return fitting[0], np.full(len(fitting[0]), UNKNOWN) if labels is None else labels.astype(np.int64)


FAMILY = ImageClassifier()
