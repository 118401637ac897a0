"""One rule for workflow, API and single files: rows of events, or single values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from modelferry.comparison.difference import Outputs
from modelferry.comparison.judge import Judgement, judge, judge_damage, judge_values
from modelferry.core.tolerances import Tolerance

STRICT = Tolerance()
TRUTH = np.random.default_rng(2).normal(size=(2000, 1))
LABELS = np.repeat(["the example", "batch=2"], 1000)
JUDGES = {"events": judge, "values": judge_values}


def judged(unit: str, float32: np.ndarray, artifact: np.ndarray, float64: np.ndarray = TRUTH, **how: bool) -> Judgement:
    return JUDGES[unit](Outputs(float64, float32, artifact), LABELS, STRICT, **how)


def changed(row: int, value: float) -> np.ndarray:
    values = TRUTH.copy()
    values[row] = value
    return values


@pytest.mark.parametrize("unit", JUDGES)
def test_events_and_values_are_judged_by_one_rule_in_the_same_words(unit: str) -> None:
    assert judged(unit, TRUTH, TRUTH).verdict.passed
    judgement = judged(unit, TRUTH, changed(3, TRUTH[3, 0] + 0.01))
    assert judgement.verdict.reason == (
        f"1 of 2000 {unit} differ from the reference by up to 0.01 (the example); the smallest rtol that would pass is "
        f"{judgement.regular.smallest_rtol:.2g} (asked: 1e-05, atol 1e-06), "
        f"the error against float64 is {judgement.tail:.2g} times the reference's own (at most 12)"
    )


@pytest.mark.parametrize(("ratio", "passed"), [(1.9, True), (2.1, False)])
def test_twice_the_largest_error_of_the_reference_passes_where_single_values_are_compared(
    ratio: float, passed: bool
) -> None:
    own = 5 * (STRICT.atol + STRICT.rtol * abs(TRUTH[3, 0]))
    judgement = judged("values", changed(3, TRUTH[3, 0] + own), changed(3, TRUTH[3, 0] - ratio * own))
    assert judgement.verdict.passed == passed


@pytest.mark.parametrize("unit", JUDGES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_so_in_both_and_the_same(unit: str, value: float) -> None:
    bad = changed(1500, value)
    assert judged(unit, bad, bad, bad).verdict.passed
    other = changed(1500, np.inf if np.isnan(value) else -value)
    for float32, artifact in ((TRUTH, bad), (bad, TRUTH), (bad, other)):
        assert "1 of 2000" in judged(unit, float32, artifact).verdict.reason


def test_many_events_that_are_not_finite_are_no_proof() -> None:
    bad = np.where(np.arange(2000)[:, None] < 3, np.nan, TRUTH)
    assert "3 of 2000 events are ill-conditioned" in judged("events", bad, bad, bad).verdict.reason


def test_tolerance_alone_decides_where_it_is_asked_to_or_float64_is_missing() -> None:
    own = 5 * (STRICT.atol + STRICT.rtol * abs(TRUTH[3, 0]))
    near, artifact = changed(3, TRUTH[3, 0] + own), changed(3, TRUTH[3, 0] - own)
    assert judged("values", near, artifact).verdict.passed
    reason = judged("values", near, artifact, by_float64=False).verdict.reason
    assert "1 of 2000 values differ" in reason
    assert "float64" not in reason
    missing = judged("values", near, artifact, np.full_like(TRUTH, np.nan))
    assert missing.verdict.reason == reason
    assert np.isnan([missing.regular.error, missing.regular.reference_error]).all()
    assert judged("values", near, near, np.full_like(TRUTH, np.nan)).verdict.passed


def test_values_of_a_network_that_is_far_from_float64_are_compared_all_the_same() -> None:
    far = TRUTH * (1 + 1e-3)
    assert judged("values", far, far).verdict.passed
    assert "events are ill-conditioned" in judged("events", far, far).verdict.reason


def test_damage_of_an_approximation_is_no_excuse_for_numbers_that_are_not_finite() -> None:
    sound = Outputs(TRUTH, TRUTH, TRUTH + 0.1)
    assert judge_damage(sound, 0.1, None, 0.2, 0.1).passed
    broken = dataclasses.replace(sound, artifact=changed(4, np.inf))
    assert "1 of 2000 events have NaN or infinities" in judge_damage(broken, 0.1, None, 0.2, 0.1).reason
