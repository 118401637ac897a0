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
        for name, neighbours in ((n, family.graph_neighbours if n in family.sizes else 0) for n in family.sampled)
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
    """Yield sizes at which dimensions that are not sampled are at their largest: so many events that are alike.

    Of several varying sizes one takes all values, while the others are at their smallest, or at their largest.
    """
    batch, sizes = contract.dimension(family.batch), [contract.dimension(name) for name in family.sizes]
    pending = {d.name: d.maximum for d in contract.dimensions if d.name not in family.sampled}
    corners = [{d.name: d.minimum for d in sizes}, {d.name: d.maximum for d in sizes}] if pending else []
    alike = ({**corner, d.name: n} for corner in corners for d in sizes for n in range(d.minimum, d.maximum + 1))
    for one in _distinct(alike):
        actual = contract.sizes(family.collate(family.sample({family.batch: 1, **one}, seed=0), contract.layout))
        for name in [name for name in pending if actual.get(name)]:
            events, rest = divmod(pending[name], actual[name])
            if rest == 0 and batch.minimum <= events <= batch.maximum:
                del pending[name]
                yield {family.batch: events, **one}


def _distinct(points: Iterable[Sizes]) -> list[Sizes]:
    return [dict(point) for point in dict.fromkeys(tuple(sizes.items()) for sizes in points)]
