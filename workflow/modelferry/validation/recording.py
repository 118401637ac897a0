"""The recorded inputs of a model and the outputs of its reference, in one file that every runtime is compared with."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelferry.contract import Arrays
from modelferry.errors import ArtifactError
from modelferry.records import temporary_name
from modelferry.validation.probes import MIXED, REAL, Probe


@dataclass(frozen=True)
class Broken:
    """Outputs of the reference with a mistake in it, by name, for some `events` of the recording, one row each."""

    name: str
    events: np.ndarray
    outputs: Arrays


def ordinary(probes: Sequence[Probe]) -> Iterator[int]:
    """Yield the places of probes with events of mixed sizes, real or synthetic: what is broken shows there soonest."""
    yield from (place for place, probe in enumerate(probes) if probe.label in (MIXED, REAL))


@dataclass(frozen=True)
class Recording:
    """Probes with the outputs of the reference.

    Attributes
    ----------
    float32, float64
        Outputs of the reference by name, one row an event, in the order of the probes.
    shaken
        Outputs of the float32 reference on inputs changed in their last places, (repetitions, events, values).
    classes, weights
        Class of each event (-1: unknown) and its weight.
    checkpoint_sha256
        The weights that the reference had.
    broken
        What broken networks make of some of the events.
    """

    probes: tuple[Probe, ...]
    float32: Arrays
    float64: Arrays
    shaken: Arrays
    classes: np.ndarray
    weights: np.ndarray
    checkpoint_sha256: str
    broken: tuple[Broken, ...] = ()

    @property
    def labels(self) -> np.ndarray:
        """The group of each event, (events,)."""
        return np.repeat([probe.label for probe in self.probes], [len(probe.events) for probe in self.probes])

    @property
    def sources(self) -> np.ndarray:
        """Where each event comes from, (events,)."""
        return np.repeat([probe.source for probe in self.probes], [len(probe.events) for probe in self.probes])

    def write(self, path: Path | str) -> None:
        """Write everything as one ``.npz``, atomically: no pickles, ragged events as one array and their lengths."""
        events = [event for probe in self.probes for event in probe.events]
        arrays: Arrays = {
            "checkpoint_sha256": np.array(self.checkpoint_sha256),
            "probe.label": np.array([probe.label for probe in self.probes]),
            "probe.source": np.array([probe.source for probe in self.probes]),
            "probe.events": np.array([len(probe.events) for probe in self.probes]),
            "classes": self.classes,
            "weights": self.weights,
        }
        for name in events[0]:
            column = [np.atleast_1d(event[name]) for event in events]
            arrays[f"event.{name}"] = np.concatenate(column)
            arrays[f"length.{name}"] = np.array([len(array) for array in column])
        arrays |= {f"float32.{name}": value for name, value in self.float32.items()}
        arrays |= {f"float64.{name}": value for name, value in self.float64.items()}
        arrays |= {f"shaken.{name}": value for name, value in self.shaken.items()}
        arrays["broken"] = np.array([broken.name for broken in self.broken], dtype=str)
        for number, broken in enumerate(self.broken):
            arrays[f"broken.{number}.events"] = broken.events
            arrays |= {f"broken.{number}.output.{name}": value for name, value in broken.outputs.items()}
        temporary = temporary_name(path)
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path | str) -> Recording:
        """Read what `write` wrote; raise `ArtifactError` if it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls._from(dict(archive.items()))
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing", "run `modelferry reference` for this model") from None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path} is damaged: {error}", "delete it and run again") from error

    @classmethod
    def _from(cls, arrays: Arrays) -> Recording:
        events = _events({name[6:]: value for name, value in arrays.items() if name.startswith("event.")}, arrays)
        ends = np.cumsum(arrays["probe.events"])
        starts = ends - arrays["probe.events"]
        probes = zip(arrays["probe.label"], arrays["probe.source"], starts, ends, strict=True)
        return cls(
            probes=tuple(Probe(str(label), str(source), tuple(events[a:b])) for label, source, a, b in probes),
            float32={name[8:]: value for name, value in arrays.items() if name.startswith("float32.")},
            float64={name[8:]: value for name, value in arrays.items() if name.startswith("float64.")},
            shaken={name[7:]: value for name, value in arrays.items() if name.startswith("shaken.")},
            classes=arrays["classes"],
            weights=arrays["weights"],
            checkpoint_sha256=str(arrays["checkpoint_sha256"]),
            broken=tuple(_broken(number, str(name), arrays) for number, name in enumerate(arrays["broken"])),
        )


def _broken(number: int, name: str, arrays: Arrays) -> Broken:
    prefix = f"broken.{number}.output."
    outputs = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return Broken(name, arrays[f"broken.{number}.events"], outputs)


def _events(columns: Arrays, arrays: Arrays) -> Sequence[Arrays]:
    split = {name: np.split(column, np.cumsum(arrays[f"length.{name}"])[:-1]) for name, column in columns.items()}
    names = list(split)
    return [dict(zip(names, values, strict=True)) for values in zip(*split.values(), strict=True)]
