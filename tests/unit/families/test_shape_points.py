"""Shape points: every pair of sizes comes together, in few calls."""

from itertools import combinations
from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from family_samples import SMALL
from modelferry.comparison.sizes import all_pairs, sizes_of
from modelferry.core.contract import Dimension
from modelferry.families import load_family
from modelferry.families.shape_points import points_beyond, points_within

VALUES = st.dictionaries(
    st.sampled_from("abcde"), st.lists(st.integers(0, 20), min_size=1, max_size=5, unique=True), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(values=VALUES)
def test_each_pair_of_values_comes_together_in_few_points(values: dict[str, list[int]]) -> None:
    points = all_pairs(values)
    for first, second in combinations(values, 2):
        seen = {(point[first], point[second]) for point in points}
        assert seen == {(a, b) for a in values[first] for b in values[second]}
    assert all(point.keys() == values.keys() for point in points) or len(values) == 1
    assert {(name, point[name]) for point in points for name in point} == {(n, v) for n in values for v in values[n]}
    largest = sorted((len(of) for of in values.values()), reverse=True)[:2]
    assert len(points) <= (2 * prod(largest) if len(values) > 2 else prod(largest) if values else 0)


def test_many_dimensions_take_far_fewer_points_than_their_product() -> None:
    assert len(all_pairs(dict.fromkeys("abcde", range(5)))) < 60 < 5**5


def test_sizes_are_the_ones_the_design_lists() -> None:
    assert sizes_of(Dimension(name="particles", minimum=1, typical=9, maximum=40)) == (1, 2, 3, 7, 9, 40)
    assert {4, 5, 6} <= set(sizes_of(Dimension(name="particles", minimum=1, typical=9, maximum=40), 4))
    assert sizes_of(Dimension(name="jets", minimum=2, typical=4, maximum=6)) == (2, 3, 4, 6)


def test_every_family_has_eight_points_at_least_and_one_beyond_each_largest_size() -> None:
    for family in SMALL.values():
        contracts = [family.contract(family.hyperparameters, layout) for layout in family.layouts]
        within, beyond = points_within(family, contracts), points_beyond(family, contracts)
        assert len(within) + len(beyond) >= 8
        for contract in contracts:
            for sampled in family.sampled:
                dimension = contract.dimension(sampled)
                assert {dimension.minimum, dimension.maximum} <= {point[sampled] for point in within}
                assert dimension.maximum + 1 in {point[sampled] for point in beyond}


def test_dimensions_that_follow_from_others_are_brought_to_their_largest() -> None:
    family = load_family("charged_higgs_particlenet")
    flat = family.contract({"hidden": 8}, "flat")
    reached = {"nodes": 0, "edges": 0}
    for point in points_within(family, [flat]):
        sizes = flat.sizes(family.collate(family.sample(point, 1), "flat"))
        if all(sizes[name] <= flat.dimension(name).maximum for name in reached):
            reached = {name: max(reached[name], sizes[name]) for name in reached}
    assert reached == {name: flat.dimension(name).maximum for name in reached}
