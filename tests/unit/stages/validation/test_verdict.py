import dataclasses

import numpy as np
import pytest

from modelferry.cli.validate import _print_verdict
from modelferry.comparison.difference import Outputs
from modelferry.comparison.judge import Verdict, judge
from modelferry.core.tolerances import Tolerance
from modelferry.records.validation import Control, Validation
from modelferry.stages.validation.diagnosis import _outcome
from modelferry.stages.validation.verdict import with_bitwise, with_controls

N = 2000
PASSED = Verdict("passed", "")
STRICT = Tolerance()
TRUTH = np.random.default_rng(0).normal(size=(N, 4))
LABELS = np.array(["particles=1", "particles=9"])[np.arange(N) % 2]


def outputs(artifact_error: float = 0.0, reference_error: float = 0.0, ties: int = 0) -> Outputs:
    """Errors of artifact and float32 reference in event 1; in `ties` events the reference is far off."""
    float32, artifact = TRUTH.copy(), TRUTH.copy()
    float32[1, 0] += reference_error
    artifact[1, 0] += artifact_error
    if ties:
        float32[-ties:, 1] += 0.1
        artifact[-ties:, 1] += 0.1
    return Outputs(TRUTH, float32, artifact)


def test_equal_outputs_pass() -> None:
    assert judge(outputs(), LABELS, STRICT).verdict == PASSED


def test_difference_within_the_tolerance_passes_and_beyond_it_fails() -> None:
    limit = STRICT.atol + STRICT.rtol * abs(TRUTH[1, 0])
    assert judge(outputs(0.9 * limit), LABELS, STRICT).verdict == PASSED
    failed = judge(outputs(1.5 * limit), LABELS, STRICT).verdict
    assert failed.status == "failed"
    assert judge(outputs(1.5 * limit), LABELS, Tolerance(rtol=STRICT.rtol * 2, atol=STRICT.atol * 2)).verdict == PASSED


def test_failure_says_where_by_how_much_and_what_would_pass() -> None:
    judgement = judge(outputs(0.01), LABELS, STRICT)
    reason = judgement.verdict.reason
    assert "1 of 2000 events differ from the reference by up to 0.01 (particles=9)" in reason
    assert f"{judgement.regular.smallest_rtol:.2g} (asked: 1e-05, atol 1e-06)" in reason
    needed = Tolerance(rtol=judgement.regular.smallest_rtol * (1 + 1e-6), atol=STRICT.atol)
    assert judge(outputs(0.01), LABELS, needed).verdict == PASSED


@pytest.mark.parametrize(("ratio", "status"), [(1.9, "passed"), (2.1, "failed")])
def test_error_of_at_most_twice_the_references_own_passes(ratio: float, status: str) -> None:
    own = 5 * (STRICT.atol + STRICT.rtol * abs(TRUTH[1, 0]))  # not yet a near-tie
    assert judge(outputs(-ratio * own, own), LABELS, STRICT).verdict.status == status


@pytest.mark.parametrize(("ties", "status"), [(2, "passed"), (3, "failed")])
def test_one_event_in_a_thousand_may_be_ill_conditioned_and_no_more(ties: int, status: str) -> None:
    judgement = judge(outputs(ties=ties), LABELS, STRICT)
    assert judgement.verdict.status == status
    assert np.flatnonzero(judgement.near_tie).tolist() == list(range(N - ties, N))
    assert status == "passed" or f"{ties} of {N} events are ill-conditioned" in judgement.verdict.reason


def test_near_ties_do_not_hide_a_broken_artifact() -> None:
    assert judge(outputs(0.05, ties=2), LABELS, STRICT).verdict.status == "failed"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("event", [0, N - 1])
def test_output_that_is_not_finite_fails_even_in_a_near_tie(bad: float, event: int) -> None:
    broken = outputs(ties=1)
    broken.artifact[event, 3] = bad
    verdict = judge(broken, LABELS, Tolerance(rtol=1e9, atol=1e9)).verdict
    assert verdict == Verdict(
        "failed", "1 of 2000 events have NaN or infinities where the reference has none, or the reverse"
    )


def test_nothing_compared_is_reported_as_that(capsys: pytest.CaptureFixture[str]) -> None:
    """Of three events, all are near-ties."""
    truth, jumps = np.zeros((3, 2)), np.ones((1, 3, 2))
    judgement = judge(Outputs(truth, truth, truth, jumps), LABELS[:3], STRICT)
    assert "3 of 3 events are decided by rounding" in judgement.verdict.reason
    assert (
        list(_outcome(judgement, STRICT))[1] == "smallest tolerance that would pass: none, since no event was compared"
    )
    numbers = {
        "max_abs_diff": judgement.regular.max_abs,
        "max_ulps": judgement.regular.max_ulps,
        "max_score_shift": 0.0,
    }
    facts = {"events": 3, "tolerance": STRICT, "error_ratio_float64": judgement.regular.error_ratio, "status": "failed"}
    record = Validation.model_construct(**numbers, **facts, exactness="exact", model="m", runtime="pytorch", reason="")
    _print_verdict(record, "flat")
    assert capsys.readouterr().out.startswith("failed m flat in pytorch: 3 events, of which none was compared, rtol")


def test_nothing_compared_is_not_passed() -> None:
    nothing = np.empty((0, 4))
    assert judge(Outputs(nothing, nothing, nothing), LABELS[:0], STRICT).verdict.status == "failed"


def test_unseen_control_fails_whatever_the_verdict_was() -> None:
    seen, unseen = Control(name="a", detected=True, max_abs_diff=1), Control(name="b", detected=False, max_abs_diff=0)
    assert with_controls(PASSED, [seen]) == PASSED
    verdict = with_controls(PASSED, [seen, unseen])
    assert verdict == Verdict("failed", "the validator is broken: it did not see b")
    assert with_controls(Verdict("failed", "x"), [seen]) == Verdict("failed", "x")


def test_difference_from_the_deployable_fails_where_bitwise_equality_is_promised() -> None:
    assert with_bitwise(PASSED, True, 0.0) == PASSED
    assert with_bitwise(PASSED, False, 1.0) == PASSED
    assert with_bitwise(PASSED, True, 1e-9).status == "failed"
    assert with_bitwise(PASSED, True, float("nan")).status == "failed"


def unstable_outputs(events: int, artifact_error: float) -> Outputs:
    """The reference itself gives another output for the last `events` when its inputs are perturbed."""
    artifact, perturbed = TRUTH.copy(), np.stack([TRUTH, TRUTH])
    if events:
        perturbed[1, -events:, 2] += 0.1
    artifact[-3:, 2] += artifact_error
    return Outputs(TRUTH, TRUTH, artifact, perturbed)


def test_artifact_may_decide_otherwise_where_rounding_decides_and_nowhere_else() -> None:
    assert judge(unstable_outputs(3, 0.1), LABELS, STRICT).verdict == PASSED
    assert judge(unstable_outputs(3, 0.1), LABELS, STRICT).near_tie.sum() == 3
    assert judge(unstable_outputs(2, 0.1), LABELS, STRICT).verdict.status == "failed"
    assert judge(unstable_outputs(0, 0.1), LABELS, STRICT).verdict.status == "failed"


def test_more_than_one_percent_of_events_decided_by_rounding_fails() -> None:
    assert judge(unstable_outputs(N // 100, 0.0), LABELS, STRICT).verdict == PASSED
    assert "decided by rounding" in judge(unstable_outputs(N // 100 + 1, 0.0), LABELS, STRICT).verdict.reason


@pytest.mark.parametrize(("near", "status"), [(N // 10, "passed"), (N // 10 + 1, "failed")])
def test_ties_that_only_the_whole_shaking_finds_are_set_apart_up_to_ten_percent(near: int, status: str) -> None:
    shaky = dataclasses.replace(unstable_outputs(near, 0.1), perturbed_less=np.stack([TRUTH]))
    judgement = judge(shaky, LABELS, STRICT)
    assert judgement.verdict.status == status
    assert judgement.near_tie.sum() == near
    assert status == "passed" or "too near a tie to be compared" in judgement.verdict.reason


def test_awkward_events_do_not_use_up_what_is_allowed() -> None:
    labels = LABELS.astype("U20")
    labels[-N // 50 :] = "equal particles"
    shaky = unstable_outputs(N // 50, 0.0)
    assert judge(shaky, labels, STRICT).verdict.status == "failed"
    assert judge(shaky, labels, STRICT, {"equal particles"}).verdict == PASSED


def test_no_events_do_not_pass() -> None:
    empty = np.empty((0, 4))
    assert judge(Outputs(empty, empty, empty), np.empty(0, str), STRICT).verdict.status == "failed"
