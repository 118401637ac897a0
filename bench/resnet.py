"""The real CIFAR-10 ResNet-20 in every general format, compiled ones included: the shipped image must be a cat."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from modelferry.checkpoint_shapes import infer_hyperparameters, read_shapes
from modelferry.checkpoints import fit
from modelferry.families import load_family
from modelferry.formats import format_names, load_format
from modelferry.runtimes import in_runtime, runtimes_of
from modelferry.transforms import resolve_transforms

DATA = Path(__file__).resolve().parents[2] / "shared/data"
CHECKPOINT = DATA / "pytorch_resnet_cifar10/resnet20-12fca82f.th"
IMAGE = DATA / "finn/cifar10-test-data-class3.npz"
CAT = 3


def main() -> int:
    """Print a line for each format and runtime; return 1 if one of them sees no cat."""
    family = load_family("image_classifier")
    given = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    known = family.resolve(given, infer_hyperparameters(family, read_shapes(CHECKPOINT)))
    family = family.configured(known)
    transforms = resolve_transforms({}, family.transforms("images"))
    reference = family.reference(known)
    weights = family.convert(
        fit(family.load_weights(CHECKPOINT, known), reference, CHECKPOINT), known, "images", transforms
    )
    example = family.collate(family.sample({"images": 4}, seed=0), "images")
    image = {"image": (np.load(IMAGE)["arr_0"] / 255).astype(np.float32)}
    wrong = 0
    for name in [name for name in format_names() if load_format(name).general]:
        target = load_format(name)
        if missing := target.unavailable():
            print(f"{name}: {missing}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            template, out = Path(folder) / "template", Path(folder) / f"resnet20.{target.extension}"
            network, contract = family.deployable(known, "images", transforms).eval(), family.contract(known, "images")
            started = time.perf_counter()
            target.build_template(network, contract, example, target.resolve_options({}), template)
            built = time.perf_counter() - started
            target.fill(template, weights, {"model": "resnet20"}, out)
            for runtime in runtimes_of(name):
                logits = in_runtime(name, runtime).load(out, threads=1)(image)["logits"][0]
                wrong += int(np.argmax(logits) != CAT)
                found = f"class {np.argmax(logits)}, logit {logits[CAT]:.5f}"
                print(f"{name} in {runtime}: {found}, built in {built:.1f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
