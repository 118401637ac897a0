"""Models that are listed one by one, in the config or a CSV: the columns are axes, `checkpoint` and `events`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from modelferry.config.axes import check_value, typed
from modelferry.config.seen import Seen
from modelferry.config.strict import Axes, Elsewhere, one_value
from modelferry.core.errors import ConfigError

CHECKPOINT, EVENTS = "checkpoint", "events"
PATHS = (CHECKPOINT, EVENTS)
MOST_MODELS = 100_000
"""Of a campaign."""


@dataclass(frozen=True)
class Row:
    """One model of a list, and where it stands."""

    place: str
    at: tuple[str | int, ...]
    axes: Axes
    checkpoint: str = ""
    events: str = ""

    def mistake(self, message: str) -> Elsewhere:
        """Return an error that names the row."""
        return Elsewhere(f"{self.place}: {message}", *self.at)


def listed(models: str | Sequence[Mapping[str, Any]], seen: Seen) -> list[Row]:
    """Return the models of a list, or of a CSV given by its path; raise `Elsewhere` for a mistake in one of them."""
    rows = _of_table(models, seen) if isinstance(models, str) else _of_config(models)
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if other := first.get(key := tuple(map(str, row.axes.values()))):
            raise row.mistake(f"is the model of {other.place} again; remove one of them")
        first[key] = row
    return rows


def _of_config(models: Sequence[Mapping[str, Any]]) -> list[Row]:
    if not models:
        raise Elsewhere("no models; give at least one, e.g. {fold: 0, checkpoint: fold-0.pt}", "models")
    axes = [name for name in models[0] if name not in PATHS]
    _check_columns(axes, "the first model", "models", 0)
    rows = []
    for number, model in enumerate(models):
        place, at = f"model {number + 1} of the list", ("models", number)
        lacking = [name for name in axes if name not in model]
        if unknown := [name for name in model if name not in axes and name not in PATHS]:
            raise Elsewhere(f"{place}: has '{unknown[0]}', and the first one has not; all need the same axes", *at)
        if lacking:
            raise Elsewhere(f"{place}: lacks '{lacking[0]}'; all need the same axes", *at)
        try:
            values = {axis: one_value(model[axis]) for axis in axes}
            for axis, value in values.items():
                check_value(axis, value)
        except ValueError as error:
            raise Elsewhere(f"{place}: {error}", *at) from None
        paths = {name: model.get(name) or "" for name in PATHS}
        if wrong := next((name for name, path in paths.items() if not isinstance(path, str)), None):
            raise Elsewhere(f"{place}: {wrong} is {paths[wrong]!r}; give a path, in quotes if need be", *at)
        rows.append(Row(place, at, values, **paths))
    return rows


def _of_table(path: str, seen: Seen) -> list[Row]:
    try:
        text = seen.table(path)
    except ConfigError as error:
        raise Elsewhere(str(error), "models") from None
    lines = list(_lines(path, text))
    if len(lines) < 2:
        raise Elsewhere(f"{path} has no rows; give a header with the names of axes, and a row a model", "models")
    (header, columns), *filled = lines
    _check_header(path, columns)
    axes = [name for name in columns if name not in PATHS]
    _check_columns(axes, f"{path}:{header}", "models")
    for number, cells in filled:
        _check_cells(f"{path}:{number}", columns, cells)
    by_name = [dict(zip(columns, cells, strict=True)) for _, cells in filled]
    values = {axis: typed(cells[axis] for cells in by_name) for axis in axes}
    return [
        Row(
            f"{path}:{number}",
            ("models",),
            {axis: values[axis][cells[axis]] for axis in axes},
            cells.get(CHECKPOINT, ""),
            cells.get(EVENTS, ""),
        )
        for (number, _), cells in zip(filled, by_name, strict=True)
    ]


def _check_cells(place: str, columns: Sequence[str], cells: Sequence[str]) -> None:
    if len(cells) != len(columns):
        few = f"has {len(cells)} cells, and the header has {len(columns)}"
        raise Elsewhere(f"{place}: {few}; fill it up, and put a cell with a comma in quotes", "models")
    for name, cell in zip(columns, cells, strict=True):
        if not cell.isprintable():
            raise Elsewhere(f"{place}: '{name}' has signs that cannot be printed; is it a CSV?", "models")
        if name in PATHS:
            continue
        if not cell:
            raise Elsewhere(f"{place}: '{name}' is empty; fill it in, or remove the row", "models")
        try:
            check_value(name, cell)
        except ValueError as error:
            raise Elsewhere(f"{place}: {error}; if '{name}' is no axis, remove the column", "models") from None


def _lines(path: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of each line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    number = count = 0
    try:
        for cells in reader:
            number, start = reader.line_num, number + 1
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            count += 1
            if count > MOST_MODELS + 1:
                raise Elsewhere(f"{path}:{start}: more than {MOST_MODELS:,} models; split the campaign", "models")
            yield start, stripped
    except csv.Error as error:
        raise Elsewhere(f"{path}:{number + 1}: {error}; is a quote left open?", "models") from None


def _check_header(path: str, columns: Sequence[str]) -> None:
    if len(columns) == 1 and (sign := next((sign for sign in ";\t|" if sign in columns[0]), None)):
        name = {";": "semicolons", "\t": "tabs", "|": "bars"}[sign]
        raise Elsewhere(f"{path}: columns are separated by {name}; save it with commas", "models")
    if "" in columns:
        nameless = f"column {columns.index('') + 1} has no name"
        raise Elsewhere(f"{path}: {nameless}; name or remove it (pandas: index=False)", "models")
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise Elsewhere(f"{path}: two columns are called '{twice}'; rename or remove one", "models")


def _check_columns(axes: Sequence[str], place: str, *at: str | int) -> None:
    """Raise `Elsewhere` for names of axes that are none, or `checkpoint` or `events` misspelt."""
    for axis in axes:
        if near := get_close_matches(axis.lower(), PATHS, n=1, cutoff=0.75):
            raise Elsewhere(f"{place}: unknown column '{axis}'; did you mean '{near[0]}'?", *at)
        if not axis.isidentifier():
            raise Elsewhere(f"{place}: '{axis}' is no name of an axis; is the first row the header?", *at)
    if not axes:
        raise Elsewhere(f"{place}: no axes; a column for each, beside checkpoint and events", *at)
