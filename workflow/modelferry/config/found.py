"""Models of which checkpoints are found: the axes are read off the paths, so that five files are five models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from modelferry.config.axes import check_value, natural, typed
from modelferry.config.patterns import Reader, fields_of, widened
from modelferry.config.seen import Seen, expanded
from modelferry.config.strict import Axes, AxisValue, Elsewhere
from modelferry.config.table import MOST_MODELS
from modelferry.core.errors import ConfigError

WrittenAxes = Mapping[str, Sequence[AxisValue] | str]
Files = dict[tuple[str, ...], list[str]]
"""Paths by the texts of the axes in them, in the order of the pattern."""


def listed_axes(axes: WrittenAxes) -> dict[str, Sequence[AxisValue]]:
    """Return the axes whose values are listed."""
    return {axis: values for axis, values in axes.items() if not isinstance(values, str)}


def found_models(checkpoint: str, axes: WrittenAxes, seen: Seen) -> list[tuple[Axes, tuple[str, ...]]]:
    """Return the models of which there are checkpoints, each with all of its files, in the order of the axes.

    A listed axis that the pattern does not name multiplies them.

    Raises
    ------
    Elsewhere
        If there are none, none of a value that is listed, or a path that can be read in two ways.
    """
    listed, in_path = listed_axes(axes), fields_of(checkpoint, axes)
    if lost := next((axis for axis in axes if axis not in listed and axis not in in_path), None):
        raise Elsewhere(f"axis '{lost}' is to be found, and '{checkpoint}' has no {{{lost}}}; add it", "checkpoint")
    files = _files(checkpoint, {axis: values for axis, values in listed.items() if axis in in_path}, seen)
    others = {axis: values for axis, values in listed.items() if axis not in in_path}
    if (size := len(files) * math.prod(map(len, others.values()))) > MOST_MODELS:
        raise Elsewhere(f"make {size:,} models, and {MOST_MODELS:,} are allowed; narrow the pattern", "axes")
    values = {axis: {str(value): value for value in known} for axis, known in listed.items()}
    for number, axis in enumerate(in_path):
        example = {texts[number]: paths[0] for texts, paths in files.items()}
        if axis not in listed:
            values[axis] = _values(axis, example)
        elif missing := next((text for text in values[axis] if text not in example), None):
            what = f"no file matches '{checkpoint}' with {axis} '{missing}'"
            raise Elsewhere(f"{what}; put it there, or remove the value", "axes", axis)
    order = {axis: {text: number for number, text in enumerate(known)} for axis, known in values.items()}
    models = []
    for point, (texts, paths) in itertools.product(itertools.product(*others.values()), files.items()):
        written = dict(zip((*others, *in_path), (*map(str, point), *texts), strict=True))
        models.append(({axis: values[axis][written[axis]] for axis in axes}, tuple(paths)))
    return sorted(models, key=lambda model: [order[axis][str(value)] for axis, value in model[0].items()])


def _files(checkpoint: str, listed: Mapping[str, Sequence[AxisValue]], seen: Seen) -> Files:
    """Return the files of all models; raise `Elsewhere` if there are none."""
    pattern, files = expanded(checkpoint), Files()
    paths = seen.matches(widened(pattern))
    if not paths:
        raise Elsewhere(f"no file matches '{checkpoint}'; {seen.nearest(widened(pattern))}", "checkpoint")
    try:
        reader = Reader(pattern, listed)
        for path in paths:
            if (texts := reader.read(path)) is not None:
                files.setdefault(tuple(texts.values()), []).append(path)
    except (ConfigError, ValueError) as error:
        raise Elsewhere(str(error), "checkpoint") from None
    if not files:
        wanted = " and ".join(f"{axis} {', '.join(map(str, values[:3]))}" for axis, values in listed.items())
        raise Elsewhere(f"no file matches '{checkpoint}' with {wanted}; there is {paths[0]}", "axes")
    return files


def _values(axis: str, example: Mapping[str, str]) -> dict[str, AxisValue]:
    """Return the values that are found of an axis, in natural order, by their texts; `example` has a path of each."""
    for text, path in example.items():
        try:
            check_value(axis, text)
        except ValueError as error:
            raise Elsewhere(f"{path}: {error}; rename it, or narrow the pattern", "checkpoint") from None
    return {str(value): value for value in natural(typed(example).values())}
