"""Probes: the events that an artifact is tried on, of every size that the contract allows, in batches of every size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from modelferry.contract import Arrays, Contract, Dimension
from modelferry.families import Family

MIXED = "mixed sizes"
REAL = "real events"
EVENTS_A_SIZE = 16


@dataclass(frozen=True)
class Probe:
    """One call: events that are computed together, and the group that it is reported under."""

    label: str
    source: str
    events: tuple[Arrays, ...]


def sizes_of(dimension: Dimension, neighbours: int = 0) -> tuple[int, ...]:
    """Return the sizes to probe: minimum, 1, 2, odd, around the number of neighbours, typical, turning, maximum."""
    wanted = {dimension.minimum, 1, 2, 3, 7, dimension.typical, dimension.maximum}
    wanted |= {turning + step for turning in dimension.turning for step in (-1, 0, 1)}
    wanted |= {neighbours, neighbours + 1, neighbours + 2} if neighbours else set()
    return tuple(sorted(size for size in wanted if dimension.minimum <= size <= dimension.maximum))


def make_probes(
    family: Family, contract: Contract, count: int, seed: int, real: Sequence[Arrays], source: str
) -> list[Probe]:
    """Return probes of at least `count` events.

    Every size of event comes in single calls and in small batches; every size of batch is filled with events of mixed
    sizes; awkward events come one by one and among others. What is missing to `count` are real events, as far as there
    are any, and else synthetic ones.
    """
    batches = sizes_of(contract.dimension(family.batch))
    typical = contract.dimension(family.batch).typical
    probes = [*_by_size(family, contract, seed), *_awkward(family, contract, seed)]
    mixed = _mixed_events(family, contract, seed)
    probes += [
        Probe(f"{family.batch}={size}", "synthetic", tuple(islice(mixed, size))) for size in batches if size != typical
    ]
    missing = max(count - sum(len(probe.events) for probe in probes), typical)
    for start in range(0, min(missing, len(real)), typical):
        probes.append(Probe(REAL, source, tuple(real[start : min(start + typical, missing)])))
    missing -= min(missing, len(real))
    for start in range(0, missing, typical):
        probes.append(Probe(MIXED, "synthetic", tuple(islice(mixed, min(typical, missing - start)))))
    return probes


def _by_size(family: Family, contract: Contract, seed: int) -> Iterator[Probe]:
    if family.size is None:
        return
    for size in sizes_of(contract.dimension(family.size), family.graph_neighbours):
        events = family.sample({family.batch: EVENTS_A_SIZE, family.size: size}, seed + size)
        taken = 0
        for batch in cycle((1, 2, 5)):
            if taken >= len(events):
                break
            yield Probe(f"{family.size}={size}", "synthetic", tuple(events[taken : taken + batch]))
            taken += batch


def _awkward(family: Family, contract: Contract, seed: int) -> Iterator[Probe]:
    company = family.sample(_typical(family, contract, 2), seed)
    for label, events in family.special(seed).items():
        for event in events:
            yield Probe(label, "synthetic", (event,))
            yield Probe(label, "synthetic", (company[0], event, company[1]))


def _mixed_events(family: Family, contract: Contract, seed: int) -> Iterator[Arrays]:
    """Yield events without end, their sizes drawn between the smallest and twice the typical."""
    rng = np.random.default_rng(seed)
    while True:
        sizes = _typical(family, contract, 1)
        if family.size is not None:
            size = contract.dimension(family.size)
            sizes[family.size] = int(rng.integers(size.minimum, min(2 * size.typical, size.maximum) + 1))
        yield from family.sample(sizes, int(rng.integers(2**31)))


def _typical(family: Family, contract: Contract, batch: int) -> dict[str, int]:
    sizes = {family.batch: batch}
    if family.size is not None:
        sizes[family.size] = contract.dimension(family.size).typical
    return sizes
