"""Shape points: the sizes of calls that are probed, so that every pair of sizes that a contract allows is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from modelferry.core.contract import Contract, Dimension
from modelferry.families import Family

Sizes = Mapping[str, int]
"""The size of each dimension that a family samples."""


def sizes_of(dimension: Dimension, neighbours: int = 0) -> tuple[int, ...]:
    """Return the sizes to probe: minimum, 1, 2, odd, around the number of neighbours, typical, turning, maximum."""
    wanted = {dimension.minimum, 1, 2, 3, 7, dimension.typical, dimension.maximum}
    wanted |= {turning + step for turning in dimension.turning for step in (-1, 0, 1)}
    wanted |= {neighbours, neighbours + 1, neighbours + 2} if neighbours else set()
    return tuple(sorted(size for size in wanted if dimension.minimum <= size <= dimension.maximum))


def points_within(family: Family, contracts: Sequence[Contract]) -> list[Sizes]:
    """Return sizes of calls such that each pair of sizes of two dimensions comes together in one of them.

    Sizes are those of any of the `contracts`; what is within one may be beyond another. Dimensions that follow from
    others (the particles of all events) are also brought to their largest, where whole events can do that.
    """
    values = {
        name: sorted({size for contract in contracts for size in sizes_of(contract.dimension(name), neighbours)})
        for name, neighbours in ((n, family.graph_neighbours if n == family.size else 0) for n in family.sampled)
    }
    if len(values) == 1:  # no pairs to see: then also the last but one
        values = {n: sorted({*v, *(c.dimension(n).maximum - 1 for c in contracts)} - {0}) for n, v in values.items()}
    largest = [sizes for contract in contracts for sizes in _largest_of_derived(family, contract)]
    return _distinct([*all_pairs(values), *largest])


def points_beyond(family: Family, contracts: Sequence[Contract]) -> list[Sizes]:
    """Return sizes of calls with one dimension one beyond its largest, the others at their smallest."""
    smallest = {name: min(contract.dimension(name).minimum for contract in contracts) for name in family.sampled}
    return _distinct(
        {**smallest, name: contract.dimension(name).maximum + 1} for contract in contracts for name in family.sampled
    )


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


def _largest_of_derived(family: Family, contract: Contract) -> Iterator[Sizes]:
    """Yield sizes at which dimensions that are not sampled are at their largest: so many events of one size."""
    if family.size is None:
        return
    batch, size = contract.dimension(family.batch), contract.dimension(family.size)
    one = {name: contract.dimension(name).minimum for name in family.sampled} | {family.batch: 1}
    pending = {d.name: d.maximum for d in contract.dimensions if d.name not in family.sampled}
    for particles in range(size.minimum, size.maximum + 1):
        event = family.sample({**one, family.size: particles}, seed=0)
        actual = contract.sizes(family.collate(event, contract.layout))
        for name in [name for name in pending if actual.get(name)]:
            events, rest = divmod(pending[name], actual[name])
            if rest == 0 and batch.minimum <= events <= batch.maximum:
                del pending[name]
                yield {**one, family.batch: events, family.size: particles}


def _distinct(points: Iterable[Sizes]) -> list[Sizes]:
    return [dict(point) for point in dict.fromkeys(tuple(sizes.items()) for sizes in points)]
