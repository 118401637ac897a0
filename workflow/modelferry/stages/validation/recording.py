"""The recorded inputs of a model and the outputs of its reference, in one file that every runtime is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from modelferry.comparison.difference import Examination, Outputs
from modelferry.comparison.scores import as_given
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArtifactError
from modelferry.core.files import write_arrays
from modelferry.core.reading import regular_file
from modelferry.families.probes import MIXED, NOT_FINITE, REAL, Probe

OUTPUTS = ("float32", "float64")
"""Outputs of the reference in a recording, each by name."""


@dataclass(frozen=True)
class FaultyOutputs:
    """Outputs of the reference with a mistake in it, by name, for some `events` of the recording, one row each."""

    name: str
    events: np.ndarray
    outputs: Arrays

    def part(self, kept: np.ndarray) -> FaultyOutputs:
        """Return the part with the events `kept` (events of the recording,), renumbered."""
        mine, number = kept[self.events], np.cumsum(kept) - 1
        outputs = {name: values[mine] for name, values in self.outputs.items()}
        return FaultyOutputs(self.name, number[self.events[mine]], outputs)


def ordinary(probes: Sequence[Probe]) -> Iterator[int]:
    """Yield the indices of probes, those first that are likely to show a mistake: mixed sizes, then small calls.

    Those that hold numbers that are not finite are left out.
    """
    finite = [index for index, probe in enumerate(probes) if probe.source != NOT_FINITE]
    yield from sorted(finite, key=lambda i: (probes[i].label not in (MIXED, REAL), len(probes[i].events)))


@dataclass(frozen=True)
class Recording:
    """Probes with the outputs of the reference.

    Attributes
    ----------
    float32, float64
        Outputs of the reference by name, one row an event, in the order of the probes.
    classes, weights
        Class of each event (-1: unknown) and its weight.
    checkpoint_sha256
        The weights that the reference had.
    faulty
        What faulty networks make of some of the events.
    examined
        What the reference does with a few ordinary events when their inputs change in their last places, by the number
        of the event and by output.
    examine
        Tells the same of any events, by output, where the reference is at hand.
    """

    probes: tuple[Probe, ...]
    float32: Arrays
    float64: Arrays
    classes: np.ndarray
    weights: np.ndarray
    checkpoint_sha256: str
    faulty: tuple[FaultyOutputs, ...] = ()
    examined: Mapping[int, Mapping[str, Examination]] = field(default_factory=dict)
    examine: Callable[[Sequence[Arrays]], Mapping[str, Examination]] | None = field(default=None, compare=False)

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
        return np.array([numbers.setdefault(id(event), len(numbers)) for event in self.events], np.int64)

    @property
    def events(self) -> list[Arrays]:
        """All events, in the order of the probes."""
        return [event for probe in self.probes for event in probe.events]

    def outputs(self, name: str, artifact: np.ndarray) -> Outputs:
        """Return one output of reference and artifact, (events, values), with what examines its events."""
        examine, events = self.examine, self.events

        def examined(rows: np.ndarray) -> Examination:
            assert examine is not None
            return examine([events[row] for row in rows])[name]

        return Outputs(self.float64[name], self.float32[name], artifact, None if examine is None else examined)

    def event_facts(self, number: int) -> dict[str, Any]:
        """Return the `number`-th event: its group, inputs and outputs, as lists of numbers."""
        outputs = {
            f"{name} in {dtype}": values[number].tolist()
            for dtype, columns in (("float32", self.float32), ("float64", self.float64))
            for name, values in columns.items()
        }
        return {
            "event": number,
            "source": f"{self.sources[number]}, {self.labels[number]}",
            "inputs": {name: value.tolist() for name, value in self.events[number].items()},
            "outputs of the network as trained": outputs,
        }

    def as_delivered(self, contract: Contract) -> Recording:
        """Return the recording with outputs as an artifact with this contract gives them.

        Where these are others than the network's, events have to be examined anew.
        """
        if contract.scored is None:
            return self
        faulty = [replace(one, outputs=as_given(one.outputs, contract.scored)) for one in self.faulty]
        return replace(
            self,
            float32=as_given(self.float32, contract.scored),
            float64=as_given(self.float64, contract.scored),
            faulty=tuple(faulty),
            examined={},
            examine=None,
        )

    def part(self, keep: Sequence[bool]) -> Recording:
        """Return the part with some of the probes."""
        events = np.repeat(np.asarray(keep, bool), [len(probe.events) for probe in self.probes])
        return Recording(
            probes=tuple(probe for probe, kept in zip(self.probes, keep, strict=True) if kept),
            float32={name: value[events] for name, value in self.float32.items()},
            float64={name: value[events] for name, value in self.float64.items()},
            classes=self.classes[events],
            weights=self.weights[events],
            checkpoint_sha256=self.checkpoint_sha256,
            faulty=tuple(faulty.part(events) for faulty in self.faulty),
            examined={
                new: self.examined[old]
                for new, old in enumerate(np.flatnonzero(events).tolist())
                if old in self.examined
            },
            examine=self.examine,
        )

    def write(self, path: Path | str) -> None:
        """Write everything as one ``.npz``, atomically: no pickles, ragged events as one array and their shapes.

        An event that several probes share is written once.
        """
        distinct = self.distinct
        _, first = np.unique(distinct, return_index=True)
        every = self.events
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
        for group in OUTPUTS:
            arrays |= {f"{group}.{name}": value for name, value in getattr(self, group).items()}
        arrays["examined"] = np.array(list(self.examined), np.int64)
        for number, outputs in self.examined.items():
            for name, found in outputs.items():
                arrays |= {f"examined.{number}.{kind}.{name}": values for kind, values in vars(found).items()}
        arrays["faulty"] = np.array([faulty.name for faulty in self.faulty], dtype=str)
        for number, faulty in enumerate(self.faulty):
            arrays[f"faulty.{number}.events"] = faulty.events
            arrays |= {f"faulty.{number}.output.{name}": value for name, value in faulty.outputs.items()}
        write_arrays(path, arrays)

    @classmethod
    def read(cls, path: Path | str) -> Recording:
        """Read what `write` wrote; raise `ArtifactError` if it is missing or damaged."""
        regular_file(path, ArtifactError, "run `modelferry reference` for this model")
        try:
            with np.load(path, allow_pickle=False) as archive:
                return cls._from(dict(archive.items()))
        except Exception as error:  # a damaged file can break the reader anywhere
            raise ArtifactError(f"{path} is damaged: {error}", "delete it and run again") from error

    @classmethod
    def _from(cls, arrays: Arrays) -> Recording:
        events = _events(_group(arrays, "event"), arrays)
        members = np.split(arrays["distinct"], np.cumsum(arrays["probe.events"])[:-1])
        facts = zip(arrays["probe.label"], arrays["probe.source"], arrays["probe.sizes"], members, strict=True)
        return cls(
            probes=tuple(
                Probe(str(label), str(source), tuple(events[number] for number in numbers), json.loads(str(sizes)))
                for label, source, sizes, numbers in facts
            ),
            float32=_group(arrays, "float32"),
            float64=_group(arrays, "float64"),
            classes=arrays["classes"],
            weights=arrays["weights"],
            checkpoint_sha256=str(arrays["checkpoint_sha256"]),
            examined={int(number): _examinations(arrays, int(number)) for number in arrays["examined"]},
            faulty=tuple(
                FaultyOutputs(str(name), arrays[f"faulty.{number}.events"], _group(arrays, f"faulty.{number}.output"))
                for number, name in enumerate(arrays["faulty"])
            ),
        )


def _group(arrays: Arrays, group: str) -> Arrays:
    """Return the arrays whose names begin with that of a group, by the rest of their names."""
    prefix = f"{group}."
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _examinations(arrays: Arrays, number: int) -> dict[str, Examination]:
    """Return what was found of one event, by output."""
    kinds = {kind.name: _group(arrays, f"examined.{number}.{kind.name}") for kind in fields(Examination)}
    return {name: Examination(**{kind: kinds[kind][name] for kind in kinds}) for name in kinds["noise"]}


def _events(columns: Arrays, arrays: Arrays) -> Sequence[Arrays]:
    split: dict[str, list[np.ndarray]] = {}
    for name, column in columns.items():
        shapes = arrays[f"shape.{name}"]
        pieces = np.split(column, np.cumsum(shapes.prod(axis=1))[:-1])
        split[name] = [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]
    names = list(split)
    return [dict(zip(names, values, strict=True)) for values in zip(*split.values(), strict=True)]
