from collections import defaultdict

import numpy as np
import pytest

from modelferry.contract import Contract, Dimension
from modelferry.families import Family, family_names, load_family
from modelferry.validation.probes import Probe, make_probes, sizes_of


@pytest.fixture(params=family_names())
def family(request: pytest.FixtureRequest) -> Family:
    return load_family(request.param)


@pytest.fixture
def contract(family: Family) -> Contract:
    return family.contract(family.hyperparameters, family.layouts[0])


def probes(family: Family, contract: Contract, count: int = 1000, seed: int = 1) -> list[Probe]:
    return make_probes(family, contract, count, seed, [], "")


def test_sizes_are_the_ones_the_design_lists() -> None:
    dimension = Dimension(name="particles", minimum=1, typical=9, maximum=40)
    assert sizes_of(dimension) == (1, 2, 3, 7, 9, 40)
    assert set(range(1, 8)) - {0} >= {1, 2, 3, 4, 5, 6, 7}
    assert {4, 5, 6} <= set(sizes_of(dimension, 4))
    assert sizes_of(Dimension(name="jets", minimum=2, typical=4, maximum=6)) == (2, 3, 4, 6)


def test_every_size_of_event_is_probed_alone_and_in_company(family: Family, contract: Contract) -> None:
    if family.size is None:
        pytest.skip("events of this family have no size")
    alone, together = set(), set()
    for probe in probes(family, contract):
        if probe.label.startswith(f"{family.size}="):
            (alone if len(probe.events) == 1 else together).add(int(probe.label.partition("=")[2]))
            sizes = {len(next(iter(event.values()))) for event in probe.events}
            assert sizes == {int(probe.label.partition("=")[2])}
    dimension, k = contract.dimension(family.size), family.graph_neighbours
    wanted = {dimension.minimum, 1, 2, 7, dimension.typical, dimension.maximum, *([k - 1, k, k + 1] if k else [])}
    wanted = {size for size in wanted if dimension.minimum <= size <= dimension.maximum}
    assert wanted <= alone
    assert wanted <= together


def test_every_size_of_batch_is_probed(family: Family, contract: Contract) -> None:
    dimension = contract.dimension(family.batch)
    found = {len(probe.events) for probe in probes(family, contract)}
    assert {dimension.minimum, 1, 2, 3, dimension.typical, dimension.maximum} <= found
    assert max(found) <= dimension.maximum


@pytest.mark.parametrize("count", [1, 500, 1000, 3000])
def test_at_least_as_many_events_as_asked_for(family: Family, contract: Contract, count: int) -> None:
    found = sum(len(probe.events) for probe in probes(family, contract, count))
    assert found >= count
    assert count < 1000 or found < count + 100


def test_all_probes_are_within_the_contract(family: Family, contract: Contract) -> None:
    for probe in probes(family, contract, 300):
        contract.check(family.collate(probe.events, contract.layout))


def test_probes_follow_from_the_seed(family: Family, contract: Contract) -> None:
    def flat(seed: int) -> list[np.ndarray]:
        found = probes(family, contract, 400, seed)
        return [array for probe in found for event in probe.events for array in event.values()]

    first, again, other = flat(1), flat(1), flat(2)
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert any(not np.array_equal(one, two) for one, two in zip(first, other, strict=False))


def test_awkward_events_come_alone_and_among_others(family: Family, contract: Contract) -> None:
    seen = defaultdict(set)
    for probe in probes(family, contract, 1):
        seen[probe.label].add(len(probe.events))
    for label in family.special(1):
        assert seen[label] >= {1, 3}


def test_real_events_are_taken_in_order_and_as_many_as_there_are(family: Family, contract: Contract) -> None:
    sizes = {family.batch: 2000, **({family.size: 5} if family.size else {})}
    for count in (30, 2000):
        real = family.sample(sizes, 9)[:count]
        found = make_probes(family, contract, 1000, 1, real, "my.root")
        taken = [event for probe in found if probe.source == "my.root" for event in probe.events]
        assert {probe.label for probe in found if probe.source == "my.root"} == {"real events"}
        assert all(one is other for one, other in zip(taken, real, strict=False))
        assert len(taken) == 30 if count == 30 else 300 < len(taken) < 1000
        assert 1000 <= sum(len(probe.events) for probe in found) < 1100
