"""Small networks trained on toy data, so that the workflow has something to export on a fresh clone.

One module per family, named like it, holding `DEMO`. Nothing here imports torch before a training starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from modelferry.core.errors import ConfigError
from modelferry.core.events import EventSet
from modelferry.records.demo import DemoTraining

Axes = Mapping[str, str | int | float]
"""The point of a campaign that a model stands for, such as channel, signal and fold."""


class Demo(Protocol):
    """How a family makes events and trains a network on them.

    Events of a group lie at ``<events>/<group>/<member>``, one file for each of `members`.
    """

    modules: tuple[str, ...]
    """The modules whose code decides what is trained: the demo's own, and its trainer."""
    members: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    """The members that no network is trained on, if embeddings are shown of them."""

    def groups(self, axes: Axes) -> tuple[str, ...]:
        """Return the groups of events that the model at `axes` is trained on, in class order."""

    def make_events(self, group: str, folder: Path) -> None:
        """Write ``folder/<member>`` for every member; the events follow from group and member alone."""

    def train(
        self, model_id: str, axes: Axes, hyperparameters: Mapping[str, Any], events: Path, out: Path
    ) -> DemoTraining:
        """Train on the groups below `events`, write the checkpoint `out`, and return how it went."""

    def test_events(self, axes: Axes, events: Path) -> EventSet:
        """Return the labelled events below `events` that the model at `axes` was not trained on."""


def fold_of(axes: Axes, folds: int, default: str = "") -> int:
    """Return the fold of a model from 0, the number on the axis `fold`; raise `ConfigError` if there is none such."""
    fold = str(axes.get("fold", default)).removeprefix("fold-")
    if not fold.isdecimal() or int(fold) >= folds:
        remedy = f"give the campaign the axis 'fold' with numbers from 0 to {folds - 1}"
        raise ConfigError(f"the demo has no fold '{fold}'", remedy)
    return int(fold)


def demo_for(family: str) -> Demo | None:
    """Return the demo of a built-in family, or None if it has none; imports no torch."""
    if not family.isidentifier() or find_spec(f"{__name__}.{family}") is None:
        return None
    return getattr(import_module(f"{__name__}.{family}"), "DEMO", None)
