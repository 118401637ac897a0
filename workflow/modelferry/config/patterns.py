"""Path patterns: axes in braces, and glob's signs around them; filled with values, or read back off the paths."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence

from modelferry.config.strict import Axes, AxisValue
from modelferry.core.errors import ConfigError, did_you_mean

SIGN = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]|[^*?\[]+|\[")
"""What a part of a glob pattern is made of."""


def fields_of(pattern: str, known: Iterable[str]) -> list[str]:
    """Return the axes that a pattern names; raise `ValueError` for an unknown one, or one that is not as it is.

    A width would fill the memory.
    """
    fields = []
    known = list(known)
    for _, field, form in _pieces(pattern):
        if field is None:
            continue
        if field not in known:
            raise ValueError(f"'{pattern}': unknown axis '{field}'; {did_you_mean(field, known)}")
        if form:
            raise ValueError(f"'{pattern}': write an axis in braces as it is, {{{field}}}")
        fields.append(field)
    return list(dict.fromkeys(fields))


def axes_named(pattern: str) -> list[str]:
    """Return what stands in braces in a pattern, whatever it is."""
    return list(dict.fromkeys(field for _, field, _ in _pieces(pattern) if field is not None))


def filled(pattern: str, axes: Axes) -> str:
    """Return the glob pattern of the files of one model; values that can be part of a path have no signs of glob."""
    return pattern.format(**axes)


def widened(pattern: str) -> str:
    """Return the glob pattern of the files of all models."""
    return "".join(f"{literal}{'' if field is None else '*'}" for literal, field, _ in _pieces(pattern))


class Reader:
    """Reads the axes off the paths that a pattern matches.

    Parameters
    ----------
    pattern
        As in the config, expanded as the paths are.
    listed
        Values of the axes that are not open: other files do not belong to the campaign.
    """

    def __init__(self, pattern: str, listed: Mapping[str, Sequence[AxisValue]]) -> None:
        self._pattern = pattern
        texts = {axis: sorted(map(str, values), key=len) for axis, values in listed.items()}
        try:
            self._long = re.compile(_expression(pattern, texts, "greedy"))
            self._short = re.compile(_expression(pattern, texts, "lazy"))
        except re.error as error:
            raise ValueError(f"'{pattern}' is no pattern: {error}; look at what stands in [ ]") from None

    def read(self, path: str) -> dict[str, str] | None:
        """Return the text of each axis; None if the path has a value that is not listed.

        Raises
        ------
        ConfigError
            If the path can be read in two ways.
        """
        long, short = self._long.fullmatch(path), self._short.fullmatch(path)
        if long is None or short is None:
            return None
        if (one := long.groupdict()) != (other := short.groupdict()):
            axis = next(name for name in one if one[name] != other[name])
            raise ConfigError(
                f"'{self._pattern}' fits {path} in two ways: {axis} is {other[axis]} or {one[axis]}",
                f"list the values of {axis}, or write what stands right before and after it",
            )
        return one


def _pieces(pattern: str) -> list[tuple[str, str | None, str]]:
    """Return what stands before each field, the field, and in which form it is wanted."""
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ValueError(f"'{pattern}': {error}; write {{axis}}, and {{{{ for a brace") from None
    return [(literal, field, (form or "") + (conversion or "")) for literal, field, form, conversion in parsed]


def _expression(pattern: str, texts: Mapping[str, Sequence[str]], how: str) -> str:
    """Return a regular expression of paths, with a group for each axis: of all readings the first or the last one."""
    lazy = "?" if how == "lazy" else ""
    named: set[str] = set()
    parts = []
    for part in re.split(r"/", pattern):
        if part == "**":
            parts.append(f"(?:[^/]+/)*{lazy}")
            continue
        found = ""
        for literal, field, _ in _pieces(part):
            found += "".join(_sign(sign, lazy) for sign in SIGN.findall(literal))
            if field in named:
                found += f"(?P={field})"
            elif field is not None:
                values = texts.get(field, ())
                several = "|".join(map(re.escape, values if lazy else reversed(values)))
                found += f"(?P<{field}>{several or f'[^/]+{lazy}'})"
                named.add(field)
        parts.append(f"{found}/")
    return "".join(parts).removesuffix("/")


def _sign(sign: str, lazy: str) -> str:
    if sign.startswith("*"):
        return f"[^/]*{lazy}"
    if sign == "?":
        return "[^/]"
    if sign.startswith("[") and len(sign) > 2:
        inside = sign[1:-1].replace("\\", r"\\")
        return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"
    return re.escape(sign)
