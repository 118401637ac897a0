from collections import defaultdict

import numpy as np
import pytest

from family_samples import SMALL
from modelferry.core.contract import Contract
from modelferry.families import Family
from modelferry.families.probes import MIXED, NOT_FINITE, REAL, Probe, make_probes


@pytest.fixture(params=list(SMALL))
def family(request: pytest.FixtureRequest) -> Family:
    return SMALL[request.param]


@pytest.fixture
def contract(family: Family) -> Contract:
    return family.contract(family.hyperparameters, family.layouts[0])


def probes(family: Family, contract: Contract, count: int = 1000, seed: int = 1) -> list[Probe]:
    return make_probes(family, contract, count, seed, [], "")


def test_every_size_of_event_is_probed_alone_and_in_company(family: Family, contract: Contract) -> None:
    if not family.sizes:
        pytest.skip("events of this family have no size")
    (size_name,) = family.sizes
    alone, together = set(), set()
    for probe in probes(family, contract):
        if size_name in probe.sizes:
            (alone if len(probe.events) == 1 else together).add(probe.sizes[size_name])
            assert {len(next(iter(event.values()))) for event in probe.events} == {probe.sizes[size_name]}
    dimension, k = contract.dimension(size_name), family.graph_neighbours
    wanted = {dimension.minimum, 1, 2, 7, dimension.typical, dimension.maximum, *([k, k + 1, k + 2] if k else [])}
    wanted = {size for size in wanted if dimension.minimum <= size <= dimension.maximum}
    assert wanted <= alone
    assert wanted <= together


def test_every_size_of_batch_is_probed_and_one_beyond(family: Family, contract: Contract) -> None:
    dimension = contract.dimension(family.batch)
    found = {len(probe.events) for probe in probes(family, contract)}
    assert {dimension.minimum, 1, 2, 3, dimension.typical, dimension.maximum} <= found
    assert max(found) == dimension.maximum + 1


@pytest.mark.parametrize("count", [1, 500, 1000, 3000])
def test_as_many_ordinary_events_as_asked_for(family: Family, contract: Contract, count: int) -> None:
    assert sum(len(probe.events) for probe in probes(family, contract, count) if probe.label == MIXED) == count


def test_only_points_can_be_beyond_the_contract_and_only_bad_numbers_are_not_finite(
    family: Family, contract: Contract
) -> None:
    for probe in probes(family, contract, 300):
        with np.errstate(invalid="ignore"):
            inputs = family.collate(probe.events, contract.layout)
        assert probe.sizes or contract.allows(inputs), probe.label
        floats = [array for event in probe.events for array in event.values() if array.dtype.kind == "f"]
        assert all(np.isfinite(array).all() for array in floats) == (probe.source != NOT_FINITE), probe.label


def test_large_batches_repeat_events_of_small_ones(family: Family, contract: Contract) -> None:
    found = probes(family, contract, 1)
    events = [event for probe in found for event in probe.events]
    assert len({id(event) for event in events}) < len(events) / 2


def test_probes_follow_from_the_seed(family: Family, contract: Contract) -> None:
    def flat(seed: int) -> list[np.ndarray]:
        found = probes(family, contract, 400, seed)
        return [array for probe in found for event in probe.events for array in event.values()]

    first, again, other = flat(1), flat(1), flat(2)
    assert all(np.array_equal(one, two, equal_nan=True) for one, two in zip(first, again, strict=True))
    assert any(not np.array_equal(one, two) for one, two in zip(first, other, strict=False))


def test_awkward_events_come_alone_and_among_others(family: Family, contract: Contract) -> None:
    seen = defaultdict(set)
    for probe in probes(family, contract, 1):
        seen[probe.label].add(len(probe.events))
    for label in family.special(1):
        assert seen[label] >= {1, 3}


def test_real_events_are_taken_in_order_and_as_many_as_there_are(family: Family, contract: Contract) -> None:
    sizes = family.call_sizes(contract, 2000, 5)
    for count in (30, 2000):
        real = family.sample(sizes, 9)[:count]
        found = make_probes(family, contract, 1000, 1, real, "my.root")
        taken = [event for probe in found if probe.source == "my.root" for event in probe.events]
        assert {probe.label for probe in found if probe.source == "my.root"} == {"real events"}
        assert all(one is other for one, other in zip(taken, real, strict=False))
        assert len(taken) == min(count, 1000)
        assert sum(len(probe.events) for probe in found if probe.label in (MIXED, REAL)) == 1000
