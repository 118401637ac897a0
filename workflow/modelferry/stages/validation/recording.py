"""The recorded inputs of a model and the outputs of its reference, in one file that every runtime is compared with."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.errors import ArtifactError
from modelferry.core.files import write_arrays
from modelferry.families.probes import MIXED, NOT_FINITE, REAL, Probe


@dataclass(frozen=True)
class Broken:
    """Outputs of the reference with a mistake in it, by name, for some `events` of the recording, one row each."""

    name: str
    events: np.ndarray
    outputs: Arrays

    def part(self, kept: np.ndarray) -> Broken:
        """Return what belongs to the events `kept` (events of the recording,), numbered anew."""
        mine, number = kept[self.events], np.cumsum(kept) - 1
        outputs = {name: values[mine] for name, values in self.outputs.items()}
        return Broken(self.name, number[self.events[mine]], outputs)


def ordinary(probes: Sequence[Probe]) -> Iterator[int]:
    """Yield the places of probes in the order in which they show soonest what is broken: mixed sizes, then small calls.

    Those that hold numbers that are not finite are left out.
    """
    sound = [place for place, probe in enumerate(probes) if probe.source != NOT_FINITE]
    yield from sorted(sound, key=lambda place: (probes[place].label not in (MIXED, REAL), len(probes[place].events)))


@dataclass(frozen=True)
class Recording:
    """Probes with the outputs of the reference.

    Attributes
    ----------
    float32, float64
        Outputs of the reference by name, one row an event, in the order of the probes.
    shaken
        `float32` as it jumps when inputs change in their last places (`shaking`), (repetitions, events, values).
    shaken_less
        The same for changes a tenth as large; nothing if that was not measured.
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
    shaken_less: Arrays = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """The group of each event, (events,)."""
        return np.repeat([probe.label for probe in self.probes], [len(probe.events) for probe in self.probes])

    @property
    def sources(self) -> np.ndarray:
        """Where each event comes from, (events,)."""
        return np.repeat([probe.source for probe in self.probes], [len(probe.events) for probe in self.probes])

    @property
    def distinct(self) -> np.ndarray:
        """A number for each event, (events,): events that are repeated, in larger batches, have the same."""
        numbers: dict[int, int] = {}
        events = [id(event) for probe in self.probes for event in probe.events]
        return np.array([numbers.setdefault(event, len(numbers)) for event in events], np.int64)

    def describe(self, number: int) -> dict[str, Any]:
        """Return the `number`-th event: its group, inputs and outputs, as lists of numbers."""
        events = [event for probe in self.probes for event in probe.events]
        outputs = {
            f"{name} in {dtype}": values[number].tolist()
            for dtype, found in (("float32", self.float32), ("float64", self.float64))
            for name, values in found.items()
        }
        return {
            "event": number,
            "source": f"{self.sources[number]}, {self.labels[number]}",
            "inputs": {name: value.tolist() for name, value in events[number].items()},
            "outputs of the network as trained": outputs,
        }

    def part(self, keep: Sequence[bool]) -> Recording:
        """Return the part with some of the probes."""
        events = np.repeat(np.asarray(keep, bool), [len(probe.events) for probe in self.probes])
        return Recording(
            probes=tuple(probe for probe, kept in zip(self.probes, keep, strict=True) if kept),
            float32={name: value[events] for name, value in self.float32.items()},
            float64={name: value[events] for name, value in self.float64.items()},
            shaken={name: value[:, events] for name, value in self.shaken.items()},
            classes=self.classes[events],
            weights=self.weights[events],
            checkpoint_sha256=self.checkpoint_sha256,
            broken=tuple(broken.part(events) for broken in self.broken),
            shaken_less={name: value[:, events] for name, value in self.shaken_less.items()},
        )

    def write(self, path: Path | str) -> None:
        """Write everything as one ``.npz``, atomically: no pickles, ragged events as one array and their shapes.

        An event that several probes share is written once.
        """
        distinct = self.distinct
        _, first = np.unique(distinct, return_index=True)
        every = [event for probe in self.probes for event in probe.events]
        events = [every[number] for number in first]
        arrays: Arrays = {
            "checkpoint_sha256": np.array(self.checkpoint_sha256),
            "probe.label": np.array([probe.label for probe in self.probes]),
            "probe.source": np.array([probe.source for probe in self.probes]),
            "probe.sizes": np.array([json.dumps(dict(probe.sizes)) for probe in self.probes]),
            "probe.events": np.array([len(probe.events) for probe in self.probes]),
            "distinct": distinct,
            "classes": self.classes,
            "weights": self.weights,
        }
        for name in events[0]:
            arrays[f"event.{name}"] = np.concatenate([event[name].ravel() for event in events])
            arrays[f"shape.{name}"] = np.array([event[name].shape for event in events], np.int64)
        arrays |= {f"float32.{name}": value for name, value in self.float32.items()}
        arrays |= {f"float64.{name}": value for name, value in self.float64.items()}
        arrays |= {f"shaken.{name}": value for name, value in self.shaken.items()}
        arrays |= {f"shaken_less.{name}": value for name, value in self.shaken_less.items()}
        arrays["broken"] = np.array([broken.name for broken in self.broken], dtype=str)
        for number, broken in enumerate(self.broken):
            arrays[f"broken.{number}.events"] = broken.events
            arrays |= {f"broken.{number}.output.{name}": value for name, value in broken.outputs.items()}
        write_arrays(path, arrays)

    @classmethod
    def read(cls, path: Path | str) -> Recording:
        """Read what `write` wrote; raise `ArtifactError` if it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls._from(dict(archive.items()))
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing", "run `modelferry reference` for this model") from None
        except (OSError, ValueError, EOFError, KeyError, IndexError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"{path} is damaged: {error}", "delete it and run again") from error

    @classmethod
    def _from(cls, arrays: Arrays) -> Recording:
        events = _events({name[6:]: value for name, value in arrays.items() if name.startswith("event.")}, arrays)
        members = np.split(arrays["distinct"], np.cumsum(arrays["probe.events"])[:-1])
        facts = zip(arrays["probe.label"], arrays["probe.source"], arrays["probe.sizes"], members, strict=True)
        return cls(
            probes=tuple(
                Probe(str(label), str(source), tuple(events[number] for number in numbers), json.loads(str(sizes)))
                for label, source, sizes, numbers in facts
            ),
            float32={name[8:]: value for name, value in arrays.items() if name.startswith("float32.")},
            float64={name[8:]: value for name, value in arrays.items() if name.startswith("float64.")},
            shaken={name[7:]: value for name, value in arrays.items() if name.startswith("shaken.")},
            classes=arrays["classes"],
            weights=arrays["weights"],
            checkpoint_sha256=str(arrays["checkpoint_sha256"]),
            broken=tuple(_broken(number, str(name), arrays) for number, name in enumerate(arrays["broken"])),
            shaken_less={name[12:]: value for name, value in arrays.items() if name.startswith("shaken_less.")},
        )


def _broken(number: int, name: str, arrays: Arrays) -> Broken:
    prefix = f"broken.{number}.output."
    outputs = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    return Broken(name, arrays[f"broken.{number}.events"], outputs)


def _events(columns: Arrays, arrays: Arrays) -> Sequence[Arrays]:
    split: dict[str, list[np.ndarray]] = {}
    for name, column in columns.items():
        shapes = arrays[f"shape.{name}"]
        pieces = np.split(column, np.cumsum(shapes.prod(axis=1))[:-1])
        split[name] = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    names = list(split)
    return [dict(zip(names, values, strict=True)) for values in zip(*split.values(), strict=True)]
