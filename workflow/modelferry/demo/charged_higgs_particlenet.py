"""Demo of the charged-Higgs ParticleNet: toy samples, a file per era, and training on three of five folds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.core.errors import ConfigError, did_you_mean
from modelferry.core.events import EventSet, join
from modelferry.demo import Axes, Demo, charged_higgs_toys
from modelferry.families.charged_higgs_particlenet import analysis_tree
from modelferry.families.charged_higgs_particlenet.folds import FOLDS, fold_of, training_folds
from modelferry.families.charged_higgs_particlenet.node_features import ERAS, event_set
from modelferry.records.demo import DemoTraining

EVENTS_PER_FILE = 300

BACKGROUNDS = {
    "nonprompt": "Skim_TriLep_TTLL_powheg",
    "diboson": "Skim_TriLep_WZTo3LNu_amcatnlo",
    "ttZ": "Skim_TriLep_TTZToLLNuNu",
}
CLASSES = ("signal", *BACKGROUNDS)
"""Class names; the position is the label, and the network's output."""


class ChargedHiggsDemo(Demo):
    """The `Demo` of family charged_higgs_particlenet; needs the axes channel, signal and fold."""

    modules = (__name__, "modelferry.demo.charged_higgs_training")
    members = tuple(f"{era}.root" for era in ERAS)

    def groups(self, axes: Axes) -> tuple[str, ...]:
        """Return ``{channel}/{sample}`` of the signal and the three backgrounds, in class order."""
        channel, signal, _ = _point(axes)
        return tuple(f"{channel}/{sample}" for sample in (signal, *BACKGROUNDS.values()))

    def make_events(self, group: str, folder: Path) -> None:
        """Write one file of toy events for each era."""
        channel, _, sample = group.partition("/")
        for member in self.members:
            seed = zlib.crc32(f"{group}/{member}".encode())
            analysis_tree.write(folder / member, charged_higgs_toys.generate(channel, sample, EVENTS_PER_FILE, seed))

    def train(
        self, model_id: str, axes: Axes, hyperparameters: Mapping[str, Any], events: Path, out: Path
    ) -> DemoTraining:
        """Train for test fold f: on f+1, f+2, f+3, validated on f+4; the test AUCs are from f alone."""
        from modelferry.demo import charged_higgs_training

        labelled, folds = labelled_events(axes, events)
        test_fold = _point(axes)[2]
        train_folds, validation_fold = training_folds(test_fold)
        splits = charged_higgs_training.Splits(
            training=labelled.take(np.isin(folds, train_folds)),
            validation=labelled.take(folds == validation_fold),
            test=labelled.take(folds == test_fold),
        )
        return charged_higgs_training.train(model_id, splits, CLASSES, hyperparameters, out)

    def test_events(self, axes: Axes, events: Path) -> EventSet:
        """Return the events the model at `axes` has not seen, its test fold, labelled as in `CLASSES`."""
        labelled, folds = labelled_events(axes, events)
        return labelled.take(folds == _point(axes)[2])


DEMO = ChargedHiggsDemo()


def labelled_events(axes: Axes, events_folder: Path) -> tuple[EventSet, np.ndarray]:
    """Return all events of the model's groups, labelled by class, and their folds (N,)."""
    sets: list[EventSet] = []
    folds: list[np.ndarray] = []
    for label, group in enumerate(DEMO.groups(axes)):
        for era in ERAS:
            path = Path(events_folder) / group / f"{era}.root"
            collections = analysis_tree.read(path)
            sets.append(event_set(collections, era, str(path), label))
            folds.append(fold_of(collections.met_pt, collections.n_jets))
    return join(sets), np.concatenate(folds)


def _point(axes: Axes) -> tuple[str, str, int]:
    """Return channel, signal and fold; raise `ConfigError` if one is missing or makes no sense."""
    for name in ("channel", "signal", "fold"):
        if name not in axes:
            remedy = f"add '{name}' to the campaign's axes in config.yaml (its axes: {', '.join(axes) or 'none'})"
            raise ConfigError(f"the charged_higgs_particlenet demo needs the axis '{name}'", remedy)
    channel, signal, fold = str(axes["channel"]), str(axes["signal"]), str(axes["fold"])
    if channel not in charged_higgs_toys.CHANNELS:
        raise ConfigError(f"channel '{channel}' has no toy events", did_you_mean(channel, charged_higgs_toys.CHANNELS))
    if not charged_higgs_toys.SIGNAL.fullmatch(signal):
        raise ConfigError(f"signal '{signal}' has no masses", "name it TTToHcToWAToMuMu-MHc{X}_MA{Y}, masses in GeV")
    charged_higgs_toys.process_of(signal)
    number = fold.removeprefix("fold-")
    if not number.isdecimal() or int(number) >= FOLDS:
        raise ConfigError(f"fold '{fold}' does not exist", f"give a number from 0 to {FOLDS - 1}")
    return channel, signal, int(number)
