"""Comparing any two: files of anyone, checkpoints, networks in Python."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

from modelferry.core.errors import ConfigError, ModelferryError, log_traceback
from modelferry.families.hyperparameters import named_values

DIFFERENT, NOT_COMPARED = 1, 2


def compare(options: argparse.Namespace) -> int:
    """Compare two: files of any format and of anyone, checkpoints, networks in Python.

    The exit code is 0 if they are the same function, 1 if they are not, 2 if they could not be compared.
    """
    from modelferry.stages.comparison.compare import compare as compare_two

    try:
        found = compare_two(
            options.first,
            options.second,
            inputs=options.inputs,
            family=options.family,
            hyperparameters=named_values(options.set, "--set", "max_len=256"),
            layout=options.layout,
            names=_pairs(options.map, "--map", "score=output"),
            shapes=_shapes(options.shape),
            ranges=_ranges(options.range),
            events=options.events,
            rtol=options.rtol,
            atol=options.atol,
        )
    except ModelferryError as error:
        log_traceback(options.log)
        print(f"error: {error}", file=sys.stderr)
        return NOT_COMPARED
    print(json.dumps(found.as_json(), indent=1) if options.json else found)
    return 0 if found else DIFFERENT


def _pairs(texts: Sequence[str], option: str, example: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise ConfigError(f"{option} {text} says nothing", f"write {option} NAME=…, for instance {example}")
        pairs[name] = value
    return pairs


def _shapes(texts: Sequence[str]) -> Mapping[str, tuple[int | str, ...]]:
    """Return sizes by input, numbers or names; the last entry may have a dtype behind a colon."""
    pairs = _pairs(texts, "--shape", "x=events,9")
    return {
        name: tuple(int(size) if size.isdigit() else size for size in value.replace(" ", "").split(","))
        for name, value in pairs.items()
    }


def _ranges(texts: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    ranges = {}
    for name, value in _pairs(texts, "--range", "x=0,200").items():
        try:
            low, high = map(float, value.split(","))
        except ValueError:
            raise ConfigError(f"--range {name}={value} is not two numbers", "write --range x=0,200") from None
        ranges[name] = (low, high)
    return ranges
