"""Sizes at which two functions are compared: few points in which every pair of sizes comes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from modelferry.core.contract import Dimension

Sizes = Mapping[str, int]
"""The size of each dimension that a family samples."""


def sizes_of(dimension: Dimension, neighbours: int = 0) -> tuple[int, ...]:
    """Return the sizes to probe: minimum, 1, 2, odd, around the number of neighbours, typical, turning, maximum."""
    wanted = {dimension.minimum, 1, 2, 3, 7, dimension.typical, dimension.maximum}
    wanted |= {turning + step for turning in dimension.turning for step in (-1, 0, 1)}
    wanted |= {neighbours, neighbours + 1, neighbours + 2} if neighbours else set()
    return tuple(sorted(size for size in wanted if dimension.minimum <= size <= dimension.maximum))


def all_pairs(values: Mapping[str, Sequence[int]]) -> list[Sizes]:
    """Return few points in which each two values of two different dimensions come together.

    Greedy: each point starts with a pair that is still missing, and its other dimensions take the values that are in
    most of the missing pairs.
    """
    names = list(values)
    if len(names) < 2:
        return [{name: value} for name in names for value in values[name]]
    missing = {
        frozenset({(first, a), (second, b)})
        for first, second in combinations(names, 2)
        for a in values[first]
        for b in values[second]
    }
    points: list[Sizes] = []
    while missing:
        chosen = dict(min(missing, key=sorted))
        for name in names:
            if name not in chosen:
                chosen[name] = max(values[name], key=lambda value: len(missing & _pairs({**chosen, name: value})))
        missing -= _pairs(chosen)
        points.append({name: chosen[name] for name in names})
    return points


def _pairs(point: Sizes) -> set[frozenset[tuple[str, int]]]:
    return {frozenset(pair) for pair in combinations(point.items(), 2)}
