"""JetClass files, ROOT or parquet, in chunks: what is wrong with a jet is counted, and never hidden.

The layout is that of the data set (arXiv:2202.03772, Zenodo 6619768): tree `tree`, an entry a jet, lists `part_*` of
its particles, numbers `jet_*`, and the classes `label_*`, of which one is 1. Parquet files have the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from modelferry.core.cutflow import (
    CUT,
    DIFFERENT_LENGTHS,
    EMPTY,
    NOT_FINITE,
    NOT_SELECTED,
    SEVERAL_LABELS,
    UNLABELLED,
    Counts,
)
from modelferry.core.errors import EventFileError, did_you_mean
from modelferry.core.events import JetChunk
from modelferry.core.reading import check_entries, reading_events
from modelferry.families.jets.card import TRUTH, Card
from modelferry.families.jets.columns import Jagged, Value
from modelferry.families.jets.prepare import prepare
from modelferry.families.shared.root_file import opened_tree, require_branches

TREE = "tree"
PARQUET = ".parquet"
CHUNK = 2048
"""Jets that are in memory at a time."""
KINEMATICS = ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_sdmass")
REMEDY = "JetClass files have it; see docs/jets.md for the layout"


@dataclass(frozen=True)
class Jets:
    """The sound jets of a chunk.

    Attributes
    ----------
    columns
        By name: a number a jet, (jets,) float32, or a `Jagged` of float32.
    entries
        Place of each jet in its file, (jets,) int64.
    counts
        What became of all jets of the chunk.
    """

    columns: dict[str, Value]
    entries: np.ndarray
    counts: Counts

    def __len__(self) -> int:
        return len(self.entries)

    def take(self, chosen: np.ndarray) -> Jets:
        """Return the jets at rising indices, with the counts of all."""
        mask = np.isin(np.arange(len(self)), chosen)
        columns = {name: _taken(column, mask) for name, column in self.columns.items()}
        return Jets(columns, self.entries[mask], self.counts)


def read_chunks(
    path: Path | str,
    inputs: Sequence[str],
    labels: Sequence[str] = (),
    others: Sequence[str] = (),
    longest: int | None = None,
    chunk: int = CHUNK,
) -> Iterator[Jets]:
    """Yield the jets of a file, at most `chunk` at a time, whatever types their numbers are stored as.

    Parameters
    ----------
    path
        A ROOT file, or one that ends with ``.parquet``.
    inputs
        Columns that the inputs of a network are computed from.
    labels
        Columns of the classes. A file that has none of them is one of unlabelled jets. Several must be 0 but for one;
        a single one is any number.
    others
        Further columns of jets.
    longest
        Jets of more particles are noted.

    Raises
    ------
    EventFileError
        If the file is missing, damaged or empty, lacks a column, or if an input is one that only simulation knows.
    """
    for name in inputs:
        if TRUTH.match(name):
            raise EventFileError(f"'{name}' is truth, which no input of a network may be", "leave it out of the card")
    with _opened(Path(path)) as file:
        if not file.entries:
            raise EventFileError(f"{path}: no jets in it", "leave it out, or produce it again")
        there = [name for name in labels if name in file.names]
        wanted = list(dict.fromkeys([*inputs, *(labels if there else ()), *others]))
        file.require(wanted)
        start = 0
        for arrays in file.iterate(wanted, chunk):
            columns = {name: _flat(arrays[name]) for name in wanted}
            jets = _sound(columns, there, start, longest)
            start += jets.counts.read
            yield jets


def prepared_chunks(path: Path, card: Card, chunk: int) -> Iterator[JetChunk]:
    """Yield the jets of a file that are sound and selected by a data card, as it prepares them."""
    longest = max((given.length for given in card.inputs.values() if given.length), default=None)
    others = [name for name in KINEMATICS if name not in card.branches]
    for jets in read_chunks(path, card.branches, card.label_branches, others, longest, chunk):
        prepared = prepare(card, jets.columns)
        kinematics = {**{name: jets.columns[name] for name in KINEMATICS}, "jet_mass": mass(jets.columns)}
        if left_out := int((~prepared.kept).sum()):
            jets.counts.left_out[NOT_SELECTED] += left_out
        yield JetChunk(
            prepared.inputs,
            prepared.particles,
            prepared.labels,
            jets.entries[prepared.kept],
            {name: np.asarray(values)[prepared.kept] for name, values in kinematics.items()},
            jets.counts,
        )


def count_jets(path: Path | str) -> int:
    """Return how many jets are in a file, without reading them."""
    with _opened(Path(path)) as file:
        return file.entries


def mass(columns: Mapping[str, Value]) -> np.ndarray:
    """Return √(E² − p²) of jets in GeV, 0 where that is negative, (jets,) float32; computed in float64."""
    pt, eta, energy = (np.asarray(columns[name], np.float64) for name in ("jet_pt", "jet_eta", "jet_energy"))
    return np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0)).astype(np.float32)


def _sound(columns: dict[str, Value], labels: Sequence[str], start: int, longest: int | None) -> Jets:
    """Return the jets about which nothing is wrong, and count the others."""
    jagged = {name: column for name, column in columns.items() if isinstance(column, Jagged)}
    jets = max(len(c.counts) if isinstance(c, Jagged) else len(c) for c in columns.values())
    lengths = np.stack([column.counts for column in jagged.values()]) if jagged else np.ones((1, jets), np.int64)
    wrong = {
        DIFFERENT_LENGTHS: (lengths != lengths[0]).any(axis=0),
        EMPTY: lengths[0] == 0,
        NOT_FINITE: np.any([_not_finite(column, jets) for column in columns.values()], axis=0),
        SEVERAL_LABELS: np.zeros(jets, bool),
    }
    unlabelled = np.full(jets, not labels)
    if len(labels) > 1:
        table = np.stack([np.asarray(columns[name]) for name in labels])
        wrong[SEVERAL_LABELS] = (table.sum(axis=0) > 1) | ((table != 0) & (table != 1)).any(axis=0)
        unlabelled = table.sum(axis=0) == 0
    counts, sound = Counts(jets), np.ones(jets, bool)
    for reason, chosen in wrong.items():
        if number := int((sound & chosen).sum()):
            counts.left_out[reason] = number
        sound &= ~chosen
    noted = {UNLABELLED: unlabelled, CUT: lengths[0] > (longest or lengths.max(initial=0))}
    counts.noted.update({what: number for what, chosen in noted.items() if (number := int((chosen & sound).sum()))})
    kept = {name: _taken(column, sound) for name, column in columns.items()}
    return Jets(kept, start + np.flatnonzero(sound), counts)


def _not_finite(column: Value, jets: int) -> np.ndarray:
    values = column.values if isinstance(column, Jagged) else column
    wrong = ~np.isfinite(values)
    if not isinstance(column, Jagged) or not wrong.any():
        return wrong if not isinstance(column, Jagged) else np.zeros(jets, bool)
    return np.bincount(np.repeat(np.arange(jets), column.counts), weights=wrong, minlength=jets) > 0


def _taken(column: Value, chosen: np.ndarray) -> Value:
    if isinstance(column, Jagged):
        return Jagged(column.values[np.repeat(chosen, column.counts)], column.counts[chosen])
    return column[chosen]


def _flat(array: ak.Array) -> Value:
    """Return a column as float32; what is missing becomes an empty list or NaN, and is counted as that."""
    numbers, missing = ak.values_astype(array, np.float32), np.float32(np.nan)
    if array.ndim == 1:
        return ak.to_numpy(ak.fill_none(numbers, missing))
    lists = ak.fill_none(ak.fill_none(numbers, missing, axis=1), [], axis=0)
    counts = ak.to_numpy(ak.num(lists)).astype(np.int64, copy=False)
    return Jagged(ak.to_numpy(ak.flatten(lists)).astype(np.float32, copy=False), counts)


@dataclass(frozen=True)
class _RootFile:
    """The tree of a ROOT file."""

    path: Path
    tree: Any

    @property
    def entries(self) -> int:
        return int(self.tree.num_entries)

    @property
    def names(self) -> Sequence[str]:
        names: list[str] = self.tree.keys()
        return names

    def require(self, names: Sequence[str]) -> None:
        require_branches(self.tree, self.path, names, REMEDY)

    def iterate(self, names: Sequence[str], chunk: int) -> Iterator[ak.Array]:
        yield from self.tree.iterate(names, step_size=chunk)


@dataclass(frozen=True)
class _ParquetFile:
    """A parquet file."""

    path: Path
    file: Any

    @property
    def entries(self) -> int:
        return int(self.file.metadata.num_rows)

    @property
    def names(self) -> Sequence[str]:
        names: list[str] = self.file.schema_arrow.names
        return names

    def require(self, names: Sequence[str]) -> None:
        missing = [name for name in names if name not in self.names]
        if missing:
            hints = [f"{missing[0]} ({did_you_mean(missing[0], self.names)})", *missing[1:]]
            what = "column" if len(missing) == 1 else "columns"
            raise EventFileError(f"{self.path}: lacks {what} {', '.join(hints)}", REMEDY)

    def iterate(self, names: Sequence[str], chunk: int) -> Iterator[ak.Array]:
        for batch in self.file.iter_batches(batch_size=chunk, columns=list(names)):
            yield ak.from_arrow(batch)


@contextmanager
def _opened(path: Path) -> Iterator[_RootFile | _ParquetFile]:
    if path.suffix != PARQUET:
        with opened_tree(path, TREE) as tree:
            yield _RootFile(path, tree)
        return
    import pyarrow.parquet as pq

    with reading_events(path, "parquet file") as size, pq.ParquetFile(path) as file:
        check_entries(path, int(file.metadata.num_rows), size)
        yield _ParquetFile(path, file)
