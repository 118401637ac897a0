"""Values of axes as texts in names of files and in tables say them: which are numbers, and in which order they come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelferry.config.strict import AxisValue, one_value, safe

FOUND = "found"
"""Instead of an axis's values: they are read off the paths of the checkpoints."""
CANONICAL = re.compile(r"(0|[1-9]\d{0,14})(\.\d{1,15})?")
NUMBER = re.compile(r"\d+(\.\d+)?")
RANGE = re.compile(r"(\d+) *(?:-|:|\.\.+|to) *(\d+)")


def written_axes(axes: Any) -> Any:
    """Return the axes of a campaign as the config has them; raise `ValueError` for what YAML has made of a value."""
    if not isinstance(axes, Mapping):
        return axes
    for axis, values in axes.items():
        if not str(axis).isidentifier():
            raise ValueError(f"axis '{axis}' is not a plain name; use letters, digits and underscores")
        if values != FOUND:
            _check_values(str(axis), values)
    return {str(axis): values for axis, values in axes.items()}


def _check_values(axis: str, values: Any) -> None:
    if not isinstance(values, list):
        range_ = RANGE.fullmatch(str(values))
        example = [*range(int(range_[1]), int(range_[2]) + 1)[:4]] if range_ else [values]
        listed = str(example).removesuffix("]") + (", …]" if range_ else "]")
        raise ValueError(f"axis '{axis}' is {values!r}; give a list, such as {listed}, or the word {FOUND}")
    if not values:
        raise ValueError(f"axis '{axis}' is empty; give at least one value or remove the campaign")
    for value in values:
        try:
            check_value(axis, one_value(value))
        except ValueError as error:
            raise ValueError(f"axis '{axis}': {error}") from None
    octal = next((value for value in values if isinstance(value, str) and re.fullmatch(r"0\d+", value)), None)
    if octal and any(isinstance(value, int) for value in values):
        raise ValueError(f"axis '{axis}' has '{octal}' and numbers: YAML drops leading zeros; put all in quotes")


def check_value(axis: str, value: AxisValue) -> None:
    """Raise `ValueError` for a value that cannot be part of a path."""
    safe(str(value), f"value of axis '{axis}'")


def typed(texts: Iterable[str]) -> dict[str, AxisValue]:
    """Return the value that each text of one axis stands for.

    They are numbers if all of them are written as numbers are: one with a leading zero, or a word, keeps all of them
    as they are written, so that patterns find the same files again.
    """
    distinct = dict.fromkeys(texts)
    if not all(CANONICAL.fullmatch(text) and text in (text.partition(".")[0], str(float(text))) for text in distinct):
        return {text: text for text in distinct}
    return {text: float(text) if "." in text else int(text) for text in distinct}


def natural(values: Iterable[AxisValue]) -> list[AxisValue]:
    """Return values in the order in which people count: fold-2 before fold-10, numbers before words."""
    return sorted(values, key=_natural_key)


def _natural_key(value: AxisValue) -> list[tuple[int, float, str]]:
    if not isinstance(value, str):
        return [(0, float(value), "")]
    pieces = re.findall(r"\d+|\D+", value)
    return [*((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces), (-1, 0, value)]


def path_segment(axis: str, value: AxisValue) -> str:
    """Return a model id's segment: a word stands for itself, a number needs its axis (``fold-3``, ``fold-03``)."""
    return value if isinstance(value, str) and not NUMBER.fullmatch(value) else f"{axis}-{value}"
