"""Physics events as networks take them; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.cutflow import Counts

UNKNOWN = -1
"""The label of an event whose class is not known."""


@dataclass(frozen=True)
class EventSet:
    """Events as a network takes them, one by one, without a batch axis.

    Attributes
    ----------
    events
        For each event its inputs by name, such as ``x`` (n, 9) float32 in GeV of its n particles.
    labels
        Class of each event, shape (N,), int64; `UNKNOWN` where there is none.
    weights
        Weight of each event, shape (N,), float64.
    source
        Where the events come from: a file name, or several.
    """

    events: list[Arrays]
    labels: np.ndarray
    weights: np.ndarray
    source: str

    def __post_init__(self) -> None:
        if not len(self.events) == len(self.labels) == len(self.weights):
            sizes = (len(self.events), len(self.labels), len(self.weights))
            raise ValueError(f"events, labels and weights have different lengths: {sizes}")

    def __len__(self) -> int:
        return len(self.events)

    def take(self, chosen: np.ndarray) -> EventSet:
        """Return the events that a mask (N,) or an array of indices chooses, in that order."""
        index = np.arange(len(self))[chosen]
        return EventSet([self.events[i] for i in index], self.labels[index], self.weights[index], self.source)


@dataclass(frozen=True)
class JetChunk:
    """Jets of a file that are ready for a network: those of one chunk that are sound and selected.

    Attributes
    ----------
    inputs
        By name, the jets along the first axis, particles padded along the last.
    particles
        Number of particles of each jet, (jets,) int64.
    labels
        Class of each jet, (jets,) int64; `UNKNOWN` where there is none.
    entries
        Position of each jet in its file, (jets,) int64.
    kinematics
        Columns of the jets by name, each (jets,).
    counts
        What became of all jets of the chunk.
    """

    inputs: Arrays
    particles: np.ndarray
    labels: np.ndarray
    entries: np.ndarray
    kinematics: Arrays
    counts: Counts


def join(sets: Iterable[EventSet]) -> EventSet:
    """Return the events of all `sets`, one after the other; each source is named once."""
    parts = list(sets)
    return EventSet(
        events=[event for part in parts for event in part.events],
        labels=np.concatenate([np.empty(0, np.int64), *(part.labels for part in parts)]),
        weights=np.concatenate([np.empty(0, np.float64), *(part.weights for part in parts)]),
        source=", ".join(dict.fromkeys(part.source for part in parts)),
    )
