import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelferry.comparison.difference import Outputs, difference, ill_conditioned, ulps, within
from modelferry.comparison.scores import area_under_curve, softmax
from modelferry.core.contract import Contract
from modelferry.core.tolerances import Tolerance
from modelferry.stages.validation.decisions import flips

FLOATS = st.floats(-100, 100, width=32)
TABLES = arrays(np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=FLOATS)
STRICT = Tolerance()


def outputs(truth: np.ndarray, artifact: np.ndarray) -> Outputs:
    return Outputs(truth.astype(np.float64), truth, artifact)


@given(start=st.floats(width=32, allow_nan=False, allow_infinity=False), steps=st.integers(-40, 40))
def test_ulps_count_the_steps_of_nextafter(start: float, steps: int) -> None:
    value = np.float32(start)
    for _ in range(abs(steps)):
        value = np.nextafter(value, np.float32(math.copysign(np.inf, steps)))
    assume(np.isfinite(value))
    first, second = np.array([[start]], np.float32), np.array([[value]], np.float32)
    assert ulps(first, second) == ulps(second, first) == abs(steps)


def test_ulps_across_zero_and_of_signed_zeros() -> None:
    tiny = np.nextafter(np.float32(0), np.float32(1))
    assert ulps(np.array([[-tiny]]), np.array([[tiny]])) == 2
    assert ulps(np.array([[-0.0]], np.float32), np.array([[0.0]], np.float32)) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_ulps_of_values_that_are_not_finite_are_no_number(bad: float) -> None:
    assert ulps(np.array([[bad, 1.0]]), np.array([[1.0, 1.0]])) == -1
    assert ulps(np.array([[1.0]]), np.array([[bad]])) == -1


@given(truth=TABLES, data=st.data())
def test_smallest_rtol_really_passes_and_anything_smaller_fails(truth: np.ndarray, data: st.DataObject) -> None:
    shift = data.draw(arrays(np.float32, truth.shape, elements=st.floats(-1, 1, width=32)))
    artifact = truth + shift
    found = difference(outputs(truth, artifact), STRICT).smallest_rtol
    assume(math.isfinite(found))
    slack = 1e-9
    assert within(artifact, truth, Tolerance(rtol=found * (1 + slack) + 1e-300, atol=STRICT.atol * (1 + slack))).all()
    if found > 1e-4:
        assert not within(artifact, truth, Tolerance(rtol=found * 0.999, atol=STRICT.atol)).all()


@given(truth=TABLES, data=st.data())
def test_smallest_atol_really_passes_and_anything_smaller_fails(truth: np.ndarray, data: st.DataObject) -> None:
    shift = data.draw(arrays(np.float32, truth.shape, elements=st.floats(-1, 1, width=32)))
    artifact = truth + shift
    found = difference(outputs(truth, artifact), STRICT).smallest_atol
    assert math.isfinite(found)
    assert within(artifact, truth, Tolerance(rtol=STRICT.rtol * (1 + 1e-9), atol=found * (1 + 1e-9))).all()
    if found > 1e-4:
        assert not within(artifact, truth, Tolerance(rtol=STRICT.rtol, atol=found * 0.999)).all()


@given(truth=TABLES, rtol=st.floats(0, 0.1), atol=st.floats(1e-9, 0.1), where=st.floats(0, 2))
def test_tolerance_is_the_one_that_was_asked_for(truth: np.ndarray, rtol: float, atol: float, where: float) -> None:
    assume(abs(where - 1) > 1e-3)
    exact = truth.astype(np.float64)
    artifact = exact + where * (atol + rtol * np.abs(exact))
    assert within(artifact, exact, Tolerance(rtol=rtol, atol=atol)).all() == (where < 1)


def test_within_is_decided_in_double_precision() -> None:
    truth = np.array([[1.0]], np.float32)
    artifact = np.nextafter(truth, np.float32(2))
    ulp = float(artifact[0, 0]) - 1.0
    assert within(artifact, truth, Tolerance(rtol=ulp * (1 + 1e-8), atol=0)).all()
    assert not within(artifact, truth, Tolerance(rtol=ulp * (1 - 1e-8), atol=0)).all()


@pytest.mark.parametrize(("artifact", "truth"), [(np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan), (np.inf, np.inf)])
def test_values_that_are_not_finite_agree_with_nothing(artifact: float, truth: float) -> None:
    assert not within(np.array([[artifact]]), np.array([[truth]]), Tolerance(rtol=1e3, atol=1e3)).any()


def test_one_wrong_value_makes_its_event_wrong_and_no_other() -> None:
    truth = np.ones((3, 4), np.float32)
    artifact = truth.copy()
    artifact[1, 2] += 1
    assert within(artifact, truth, STRICT).tolist() == [True, False, True]


def test_differences_are_the_largest_ones() -> None:
    float32 = np.array([[1.0, -2.0], [0.5, 4.0]], np.float32)
    float64 = float32 + np.array([[0, 1e-7], [0, 0]])
    artifact = float32 + np.array([[0.5, 0], [0, -1.0]], np.float32)
    found = difference(Outputs(float64, float32, artifact), STRICT)
    assert found.max_abs == 1.0
    assert found.max_rel == 0.5
    assert found.max_ulps == ulps(artifact, float32) > 1_000_000
    assert found.error == pytest.approx(1.0)
    assert found.reference_error == pytest.approx(1e-7, rel=1e-3)
    assert found.error_ratio == pytest.approx(1e7, rel=1e-3)


def test_equal_outputs_have_no_difference_and_a_ratio_without_a_division_by_zero() -> None:
    table = np.array([[1.0, 0.0]], np.float32)
    same = difference(outputs(table, table), STRICT)
    assert (same.max_abs, same.max_rel, same.max_ulps, same.smallest_rtol, same.smallest_atol) == (0, 0, 0, 0, 0)
    assert same.error_ratio == 0
    assert difference(outputs(table, table + np.float32(1)), STRICT).error_ratio == math.inf


def test_nan_counts_as_an_infinite_difference() -> None:
    table = np.array([[1.0, 2.0]], np.float32)
    found = difference(outputs(table, np.array([[np.nan, 2.0]], np.float32)), STRICT)
    assert found.max_abs == found.error == found.max_rel == math.inf or found.max_abs > 1e300


@pytest.mark.parametrize(("factor", "expected"), [(9.9, False), (10.1, True)])
def test_near_tie_is_ten_tolerances_between_the_references(factor: float, expected: bool) -> None:
    float64 = np.array([[1.0, 0.0]])
    float32 = float64 + np.array([[factor * (STRICT.atol + STRICT.rtol), 0]])
    assert ill_conditioned(Outputs(float64, float32, float64), STRICT).tolist() == [expected]


@given(logits=TABLES)
def test_softmax_sums_to_one_and_ignores_a_common_shift(logits: np.ndarray) -> None:
    scores = softmax(logits)
    assert scores.dtype == np.float64
    assert np.allclose(scores.sum(axis=1), 1)
    assert np.allclose(softmax(logits.astype(np.float64) + 1000), scores)


def test_events_that_are_decided_for_another_class_have_flipped() -> None:
    truth = np.array([[1, 0], [0, 1], [2, 1]], np.float32)
    artifact = np.array([[0, 1], [0, 3], [1, 2]], np.float32)
    contract = Contract(layout="", inputs=(), outputs=(), dimensions=())
    assert flips(contract, outputs(truth, artifact)).tolist() == [True, False, True]


@given(
    positive=st.lists(st.integers(0, 20), min_size=1, max_size=40),
    negative=st.lists(st.integers(0, 20), min_size=1, max_size=40),
)
def test_area_under_curve_is_that_of_scikit_learn(positive: list[int], negative: list[int]) -> None:
    from sklearn.metrics import roc_auc_score

    truth = [True] * len(positive) + [False] * len(negative)
    expected = roc_auc_score(truth, positive + negative)
    assert area_under_curve(np.array(positive), np.array(negative)) == pytest.approx(expected, abs=1e-12)


def test_nothing_compared_has_no_largest_difference_and_no_smallest_tolerance() -> None:
    nothing = np.empty((0, 4))
    numbers = vars(difference(Outputs(nothing, nothing, nothing), STRICT))
    assert numbers.pop("max_ulps") == -1
    assert np.isnan(list(numbers.values())).all()
