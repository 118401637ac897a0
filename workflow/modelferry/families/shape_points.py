"""Shape points: the sizes of calls that are probed, so that every pair of sizes that a contract allows is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from modelferry.comparison.sizes import Sizes, all_pairs, sizes_of
from modelferry.core.contract import Contract
from modelferry.families import Family


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
