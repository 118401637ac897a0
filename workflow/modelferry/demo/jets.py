"""Demo of jet taggers: toy jets of ten classes, training on a part of them, the rest kept for tests and embeddings."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.core.events import EventSet
from modelferry.demo import Axes, Demo, fold_of, jet_toys
from modelferry.families.jets.base import JetFamily
from modelferry.records.demo import DemoTraining

GROUP = "toy_jets"
TRAINING = "training.parquet"
TESTS = ("test_000.parquet", "test_001.root")
JETS: Mapping[str, int] = {TRAINING: 4500, **dict.fromkeys(TESTS, 2000)}
"""Jets of each file, of all classes."""
FOLDS = 3


class JetDemo(Demo):
    """The `Demo` of a family of jet taggers; its axis fold, if there is one, chooses the third that is left out."""

    modules = (__name__, "modelferry.demo.jet_training")
    members = tuple(JETS)
    unseen = TESTS

    def __init__(self, family: JetFamily) -> None:
        self.family = family

    def groups(self, axes: Axes) -> tuple[str, ...]:
        """Return the one group: its files hold all classes."""
        fold_of(axes, FOLDS, "0")
        return (GROUP,)

    def make_events(self, group: str, folder: Path) -> None:
        """Write the toy jets."""
        for member, jets in JETS.items():
            jet_toys.write(folder / member, jet_toys.mixed(jets, zlib.crc32(f"{group}/{member}".encode())))

    def train(
        self, model_id: str, axes: Axes, hyperparameters: Mapping[str, Any], events: Path, out: Path
    ) -> DemoTraining:
        """Train on all folds but one; the AUCs are of the test files, each class against QCD."""
        from modelferry.demo.jet_training import Jets, train

        card = self.family.card_of(hyperparameters)
        jets = Jets.read([events / GROUP / TRAINING], card)
        learned = jets.take(np.arange(len(jets)) % FOLDS != fold_of(axes, FOLDS, "0"))
        test = Jets.read([events / GROUP / member for member in TESTS], card)
        return train(self.family, model_id, learned, test, jet_toys.CLASSES, hyperparameters, out)

    def test_events(self, axes: Axes, events: Path) -> EventSet:
        """Return the jets of the test files, with their classes."""
        files = [events / GROUP / member for member in TESTS]
        return self.family.read_events(files, {}, sum(JETS[member] for member in TESTS))
