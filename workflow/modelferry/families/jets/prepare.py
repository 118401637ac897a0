"""Columns of jets → inputs of a network, as a data card says: vectorised, in float32, bit for bit what weaver makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modelferry.core.contract import Arrays
from modelferry.core.errors import ConfigError
from modelferry.core.events import UNKNOWN
from modelferry.families.jets.card import Card, Variable
from modelferry.families.jets.columns import Column, Jagged, Value, as_columns
from modelferry.families.jets.expressions import parse


@dataclass(frozen=True)
class Prepared:
    """The inputs of a network for the jets that the selection keeps.

    Attributes
    ----------
    inputs
        By name, float32: (jets kept, channels, particles), or (jets kept, channels) for variables of jets.
    labels
        Class of each jet kept, int64; `UNKNOWN` without label columns, and where not exactly one of them is set.
    kept
        Which of the given jets were kept, (jets given,) bool.
    particles
        Particles of each jet kept, before any were cut, int64.
    """

    inputs: Arrays
    labels: np.ndarray
    kept: np.ndarray
    particles: np.ndarray


def prepare(
    card: Card, columns: Mapping[str, Column], select: bool = True, trim: bool = False, rounded: bool = False
) -> Prepared:
    """Return the inputs of a network for all jets of `columns` at once.

    Parameters
    ----------
    card
        What to compute.
    columns
        The columns `card.branches`, and `card.label_branches` if classes are wanted; others are not looked at.
    select
        Whether the card's selection applies.
    trim
        Whether inputs are only as long as the longest of these jets, and at least 1, instead of the card's length.
    rounded
        Whether logarithms and the like are rounded once from float64, as in artifacts that prepare their inputs.
        NumPy's own in float32, which weaver takes, are off by up to 3 units in the last place, on each CPU in its way.

    Raises
    ------
    EventFileError
        If a column is missing or does not agree with the others.
    ConfigError
        If an expression gives something else than is needed.
    """
    selects = select and card.selection is not None
    needed = card.branches if selects else card.input_branches
    labelled = bool(card.label_branches) and all(name in columns for name in card.label_branches)
    names = tuple(sorted({*needed, *(card.label_branches if labelled else ())}))
    values = as_columns(columns, names)
    jets = next((len(v.counts) if isinstance(v, Jagged) else len(v) for v in values.values()), 0)
    for name, definition in card.definitions.items():
        if definition.names <= values.keys():
            values[name] = definition.evaluate(values, rounded)
    kept = np.ones(jets, bool)
    if selects and card.selection is not None:
        kept = _per_jet(parse(card.selection).evaluate(values), jets, "selection").astype(bool)
        values = {name: _taken(value, kept) for name, value in values.items()}
    selected = _Jets(card, values, int(kept.sum()), trim)
    labels = _labels(card, values, selected.jets) if labelled else np.full(selected.jets, UNKNOWN)
    return Prepared({name: selected.input(name) for name in card.inputs}, labels, kept, selected.counts)


class _Jets:
    """All variables of the jets that are kept, and which particle stands where in an input."""

    def __init__(self, card: Card, values: Mapping[str, Value], jets: int, trim: bool) -> None:
        self.card, self.values, self.jets, self.trim = card, values, jets, trim
        of_particles = (value.counts for value in values.values() if isinstance(value, Jagged))
        self.counts = next(of_particles, np.zeros(jets, np.int64))
        self.order = self._order()
        self._places: dict[tuple[int, str], np.ndarray] = {}

    def input(self, name: str) -> np.ndarray:
        """Return an input of the network."""
        given = self.card.inputs[name]
        variables = [self.card.standardised(variable) for variable in given.vars]
        if given.length is None:
            what = f"input {name} without length"
            return np.stack([standardised(v, _per_jet(self.values[v.name], self.jets, what)) for v in variables], 1)
        longest = max(1, int(self.counts.max(initial=0)))
        positions = self._positions_of(min(given.length, longest) if self.trim else given.length, given.pad_mode)
        out = np.empty((self.jets, len(variables), positions.shape[1]), np.float32)
        for channel, variable in enumerate(variables):
            particles = standardised(variable, _per_particle(self.values[variable.name], self.counts))
            np.take(np.append(particles, np.float32(variable.pad)), positions, out=out[:, channel], mode="clip")
        return out

    def _positions_of(self, length: int, pad_mode: str) -> np.ndarray:
        """Return which of all particles stands where, (jets, length); where none does, the number of all particles."""
        if (length, pad_mode) not in self._places:
            number, counts = np.arange(length), self.counts[:, None]
            position = (
                number % np.maximum(counts, 1) if pad_mode == "wrap" else np.broadcast_to(number, (self.jets, length))
            )
            index = position + (np.cumsum(self.counts) - self.counts)[:, None]
            index = np.where(position < counts, index, self.counts.sum())
            self._places[length, pad_mode] = (
                index if self.order is None else np.append(self.order, len(self.order))[index]
            )
        return self._places[length, pad_mode]

    def _order(self) -> np.ndarray | None:
        """Return all particles, jet by jet, in the card's order; None if they stay as they are."""
        if self.card.order_by is None:
            return None
        key = _per_particle(parse(self.card.order_by).evaluate(self.values), self.counts)
        return np.lexsort((key, np.repeat(np.arange(self.jets), self.counts)))


def standardised(variable: Variable, values: np.ndarray) -> np.ndarray:
    """Return float32 values, 0 where they are NaN."""
    if variable.subtract is not None:
        values = np.clip((values - variable.subtract) * variable.multiply, variable.low, variable.high)
    values = values.astype(np.float32, copy=False)
    wrong = np.isnan(values)
    return np.where(wrong, np.float32(0), values) if wrong.any() else values


def _labels(card: Card, values: Mapping[str, Value], jets: int) -> np.ndarray:
    assert card.labels is not None
    columns = [expression.evaluate(values) for expression in card.labels.expressions]
    table = np.stack([_per_jet(column, jets, "labels") for column in columns], axis=1)
    if card.labels.type == "custom":
        known = np.isfinite(table[:, 0]) & (table[:, 0] >= 0)
        return np.where(known, np.nan_to_num(table[:, 0]), UNKNOWN).astype(np.int64)
    one = (table.sum(axis=1) == 1) & (table.max(axis=1) == 1)
    return np.where(one, table.argmax(axis=1), UNKNOWN)


def _taken(value: Value, kept: np.ndarray) -> Value:
    if isinstance(value, Jagged):
        return Jagged(value.values[np.repeat(kept, value.counts)], value.counts[kept])
    return value[kept] if value.ndim else value


def _per_jet(value: Value, jets: int, what: str) -> np.ndarray:
    if isinstance(value, Jagged):
        raise ConfigError(f"{what} is a number a particle", "a number a jet is needed")
    return np.broadcast_to(value, (jets,))


def _per_particle(value: Value, counts: np.ndarray) -> np.ndarray:
    if isinstance(value, Jagged):
        return value.values
    return np.repeat(np.broadcast_to(value, counts.shape), counts)
