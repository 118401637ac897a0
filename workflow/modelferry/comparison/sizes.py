"""Sizes at which two functions are compared: few points in which every pair of sizes comes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from modelferry.core.contract import Arrays, Contract, Dimension

MOST_VALUES = 2**20
"""Sizes at which the inputs would have more values are not tried."""
SEED = 21
FLOATING = ("float64", "float32", "bfloat16")
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


def resized(example: Arrays, contract: Contract, sizes: Mapping[str, int]) -> Arrays:
    """Return the example with its free axes cut, or repeated from the start, to `sizes`.

    Repeated floating numbers are each a little larger than before, so that no two rows are equal.
    """
    resized_inputs = {}
    for tensor in contract.inputs:
        array = example[tensor.name]
        for axis, name in enumerate(tensor.shape):
            if isinstance(name, str) and sizes[name] != (size := array.shape[axis]):
                indices = np.arange(sizes[name])
                array = np.take(array, indices % max(size, 1), axis=axis)
                if tensor.dtype in ("float32", "float64", "bfloat16"):
                    grown = 1 + 2.0**-6 * (indices // max(size, 1))
                    array = (array * np.expand_dims(grown, [a for a in range(array.ndim) if a != axis])).astype(
                        example[tensor.name].dtype
                    )
        resized_inputs[tensor.name] = np.ascontiguousarray(array).reshape(array.shape)
    return resized_inputs


def sized_calls(contract: Contract, example: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Yield the example, its numbers in another order, and it at each size that the contract allows, with labels."""
    rng = np.random.default_rng(SEED)
    yield "the example", example
    floating = [t.name for t in contract.inputs if t.dtype in FLOATING and example[t.name].size]
    if floating:
        mixed = {name: rng.permutation(example[name].reshape(-1)).reshape(example[name].shape) for name in floating}
        yield "the example's numbers in another order", {**example, **mixed}
    present = contract.sizes(example)
    points = all_pairs({name: sizes_of(contract.dimension(name)) for name in present})
    for sizes in points:
        if sizes != present and _values(contract, sizes) <= MOST_VALUES:
            yield ", ".join(f"{name}={size}" for name, size in sizes.items()), resized(example, contract, sizes)


def _values(contract: Contract, sizes: Mapping[str, int]) -> int:
    shapes = [[sizes[size] if isinstance(size, str) else size for size in tensor.shape] for tensor in contract.inputs]
    return sum(int(np.prod(shape)) for shape in shapes)
