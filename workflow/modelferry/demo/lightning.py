"""Demo of family lightning: handwritten digits of 8 × 8 pixels, which scikit-learn brings along."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.events import EventSet
from modelferry.core.files import write_arrays
from modelferry.demo import Axes, Demo, fold_of
from modelferry.records.demo import DemoTraining

GROUP, MEMBER = "digits", "digits.npz"
INPUT = "image"
CLASSES = tuple("0123456789")
WHITE = 16
"""The largest grey value of the scans."""
FOLDS = 5


class LightningDemo(Demo):
    """The `Demo` of family lightning; its axis fold is the fifth of the images that is kept for the test."""

    modules = (__name__, "modelferry.demo.digits_training")
    members = (MEMBER,)

    def groups(self, axes: Axes) -> tuple[str, ...]:
        """Return the one group: all images are in one file."""
        fold_of(axes, FOLDS)
        return (GROUP,)

    def make_events(self, group: str, folder: Path) -> None:
        """Write the images (1797, 1, 8, 8) in float32 from 0 to 1, and their classes."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = (digits.images[:, None] / WHITE).astype(np.float32)
        write_arrays(folder / MEMBER, {INPUT: images, "labels": digits.target.astype(np.int64)})

    def train(
        self, model_id: str, axes: Axes, hyperparameters: Mapping[str, Any], events: Path, out: Path
    ) -> DemoTraining:
        """Train on all folds but one; accuracy and AUCs are from that one."""
        from modelferry.demo.digits_training import train

        arrays, folds = _images(events)
        test = folds == fold_of(axes, FOLDS)
        images, labels = arrays[INPUT], arrays["labels"]
        splits = ((images[~test], labels[~test]), (images[test], labels[test]))
        return train(model_id, splits, CLASSES, hyperparameters["init"], out)

    def test_events(self, axes: Axes, events: Path) -> EventSet:
        """Return the images that the model at `axes` has not seen."""
        arrays, folds = _images(events)
        everything = [{INPUT: image} for image in arrays[INPUT]]
        labelled = EventSet(everything, arrays["labels"], np.ones(len(folds)), str(events / GROUP / MEMBER))
        return labelled.take(folds == fold_of(axes, FOLDS))


DEMO = LightningDemo()


def _images(events: Path) -> tuple[Arrays, np.ndarray]:
    """Return images and classes, and their folds (N,): every fifth image is of the same."""
    with np.load(events / GROUP / MEMBER, allow_pickle=False) as archive:
        arrays = dict(archive.items())
    return arrays, np.arange(len(arrays["labels"])) % FOLDS
