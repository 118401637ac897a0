"""Probes: the events that an artifact is tried on, at every size that a contract allows and one beyond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

import numpy as np
import torch

from modelferry.comparison.determinism import check_network
from modelferry.comparison.eager import run_eagerly
from modelferry.comparison.sizes import sizes_of
from modelferry.core.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.families.shape_points import points_beyond, points_within

MIXED = "mixed sizes"
REAL = "real events"
NOT_FINITE = "synthetic, made not finite"
"""Source of events that hold a number that is not finite: what must come out is not finite either."""
TOGETHER, ALONE, REORDERED = "events in company", "events alone", "particles reordered"
"""Labels of the same events, in the same order of events."""
EVENTS_A_SIZE = 16
EVENTS_A_PROPERTY = 16
REPEATED = 16
"""Calls that a reference must repeat, at most."""
BAD_NUMBERS = {"NaN": np.nan, "infinity": np.inf, "-infinity": -np.inf}


@dataclass(frozen=True)
class Probe:
    """One call: events that are computed together, and the group that it is reported under.

    `sizes` are those of a shape point, by dimension; empty for any other probe.
    """

    label: str
    source: str
    events: tuple[Arrays, ...]
    sizes: Mapping[str, int] = field(default_factory=dict)


def make_probes(
    family: Family,
    contract: Contract,
    count: int,
    seed: int,
    real: Sequence[Arrays],
    source: str,
    others: Sequence[Contract] = (),
    thorough: bool = True,
) -> list[Probe]:
    """Return probes of `count` ordinary events and of properties, and if `thorough` of what no weights can change.

    That is shape points, awkward events and bad numbers. Ordinary events are real ones, as far as there are any, and
    else synthetic ones of mixed sizes. Every pair of sizes that `contract` or one of the `others`, of other layouts,
    allows is a call; so is each size that is one beyond.
    """
    contracts = [contract, *others]
    mixed = _mixed_events(family, contract, seed)
    typical = contract.dimension(family.batch).typical
    ordinary = [
        Probe(label, origin, tuple(events[start : start + typical]))
        for label, origin, events in (
            (REAL, source, list(real[:count])),
            (MIXED, "synthetic", list(islice(mixed, max(0, count - len(real))))),
        )
        for start in range(0, len(events), typical)
    ]
    few = list(islice(_mixed_events(family, contract, seed, 1), EVENTS_A_PROPERTY))
    properties = _properties(family, few, typical, seed)
    if not thorough:
        return [*properties, *ordinary]
    return [
        *_at_points(family, contracts, seed),
        *_mixed_batches(family, contracts, list(islice(mixed, EVENTS_A_SIZE))),
        *_special_events(family, contract, seed),
        *properties,
        *_not_finite(family, contract, seed),
        *ordinary,
    ]


def _at_points(family: Family, contracts: Sequence[Contract], seed: int) -> Iterator[Probe]:
    """Yield one call a point. Large batches repeat events: those that differ suffice, and each is looked at closely."""
    pools: dict[tuple[int, ...], Iterator[Arrays]] = {}
    for sizes in [*points_within(family, contracts), *points_beyond(family, contracts)]:
        events, one = sizes[family.batch], {**sizes, family.batch: EVENTS_A_SIZE}
        key = tuple(one.values())
        if key not in pools:
            pools[key] = cycle(family.sample(one, seed + sum(key)))
        label = ", ".join(f"{name}={size}" for name, size in sizes.items())
        yield Probe(label, "synthetic", tuple(islice(pools[key], events)), sizes)


def _mixed_batches(family: Family, contracts: Sequence[Contract], events: Sequence[Arrays]) -> Iterator[Probe]:
    """Yield one call for each size of batch, of events that differ in size, if events have one."""
    batches = {size for contract in contracts for size in sizes_of(contract.dimension(family.batch)) if size > 1}
    for size in sorted(batches) if family.sizes else ():
        sizes = {family.batch: size}
        yield Probe(f"{family.batch}={size}, {MIXED}", "synthetic", tuple(islice(cycle(events), size)), sizes)


def _special_events(family: Family, contract: Contract, seed: int) -> Iterator[Probe]:
    company = family.sample(family.call_sizes(contract, 2), seed)
    for label, events in family.special(seed).items():
        for event in events:
            yield Probe(label, "synthetic", (event,))
            yield Probe(label, "synthetic", (company[0], event, company[1]))
    for label, events in family.documented(seed).items():
        for event in events:
            yield Probe(label, "synthetic", (company[0], event, company[1]))


def _properties(family: Family, events: Sequence[Arrays], typical: int, seed: int) -> Iterator[Probe]:
    """Yield the same events together, one by one, and with their particles in another order if that must not matter."""
    rng = np.random.default_rng(seed)
    reordered = [again for event in events if (again := family.reordered(event, rng)) is not None]
    for start in range(0, len(events), typical):
        yield Probe(TOGETHER, "synthetic", tuple(events[start : start + typical]))
    for event in events:
        yield Probe(ALONE, "synthetic", (event,))
    for start in range(0, len(reordered), typical):
        yield Probe(REORDERED, "synthetic", tuple(reordered[start : start + typical]))


def _not_finite(family: Family, contract: Contract, seed: int) -> Iterator[Probe]:
    """Yield events with one bad number in one input, each alone and between two sound ones."""
    rng = np.random.default_rng(seed)
    before, event, after = family.sample(family.call_sizes(contract, 3), seed)
    for name, array in event.items():
        if not np.issubdtype(array.dtype, np.floating):
            continue
        for word, value in BAD_NUMBERS.items():
            corrupted = np.atleast_1d(array).copy()
            corrupted.flat[rng.integers(corrupted.size)] = value
            bad = {**event, name: corrupted.reshape(array.shape)}
            yield Probe(f"{word} in {name}", NOT_FINITE, (bad,))
            yield Probe(f"{word} in {name}", NOT_FINITE, (before, bad, after))


def _mixed_events(family: Family, contract: Contract, seed: int, times: int = 2) -> Iterator[Arrays]:
    """Yield events without end, each of their sizes drawn between the smallest and so many times the typical."""
    rng = np.random.default_rng(seed)
    while True:
        sizes = family.call_sizes(contract, 1)
        for size in map(contract.dimension, family.sizes):
            sizes[size.name] = int(rng.integers(size.minimum, min(times * size.typical, size.maximum) + 1))
        yield from family.sample(sizes, int(rng.integers(2**31)))


Prepare = Callable[[Arrays], Arrays]


def evaluate(
    network: torch.nn.Module,
    family: Family,
    contract: Contract,
    probes: Iterable[Probe],
    dtype: torch.dtype = torch.float32,
    prepare: Prepare = lambda inputs: inputs,
) -> Arrays:
    """Return the outputs of an eager network on all probes by name, one row an event; `prepare` may change inputs."""
    with np.errstate(invalid="ignore"):
        calls = (prepare(family.inputs_of(probe.events, contract)) for probe in probes)
        return run_eagerly(network, contract, calls, dtype)


def evaluate_repeatably(
    network: torch.nn.Module, family: Family, contract: Contract, probes: Sequence[Probe]
) -> Arrays:
    """Return the outputs of an eager network, as `evaluate`, if it repeats those of a few calls, of different groups.

    Raises
    ------
    NetworkError
        If the network gives other outputs for the same inputs; the error names what draws random numbers.
    """
    outputs = evaluate(network, family, contract, probes)
    typical, indices = contract.dimension(family.batch).typical, range(len(probes))
    chosen = [i for i in indices if probes[i].source != NOT_FINITE and len(probes[i].events) <= typical]
    groups = sorted({probes[i].label: i for i in reversed(chosen)}.values())
    chosen = groups[:: -(-len(groups) // REPEATED)]
    rows = np.isin(np.repeat(indices, [len(probe.events) for probe in probes]), chosen)
    first = {name: values[rows] for name, values in outputs.items()}
    check_network(first, lambda: evaluate(network, family, contract, [probes[i] for i in chosen]))
    return outputs
