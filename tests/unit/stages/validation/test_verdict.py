import dataclasses

import numpy as np
import pytest

from modelferry.cli.validate import _print_verdict
from modelferry.comparison.calibration import TIE
from modelferry.comparison.difference import Examination, Outputs
from modelferry.comparison.judge import ENOUGH, NOISY_SHARE, Verdict, judge
from modelferry.core.tolerances import BULK, TAIL, Tolerance
from modelferry.records.validation import Control, Validation
from modelferry.stages.validation.diagnosis import _outcome
from modelferry.stages.validation.verdict import with_bitwise, with_controls

N = 2000
PASSED = Verdict("passed", "")
STRICT = Tolerance()
TRUTH = np.random.default_rng(0).normal(size=(N, 4))
LABELS = np.array(["particles=1", "particles=9"])[np.arange(N) % 2]


OWN = 1e-6
"""Root-mean-square error of the float32 reference."""
FLOAT32 = TRUTH + OWN * np.random.default_rng(1).choice([-1, 1], size=TRUTH.shape)


def outputs(artifact_error: float = 0.0, ties: int = 0, artifact_in_ties: float = -0.1) -> Outputs:
    """Errors of the artifact in event 1, in units of the reference's own; in `ties` events the reference is far off."""
    float32, artifact = FLOAT32.copy(), TRUTH.copy()
    artifact[1, 0] += artifact_error * OWN
    if ties:
        float32[-ties:, 1] = TRUTH[-ties:, 1] + 0.1
        artifact[-ties:, 1] += artifact_in_ties
    return Outputs(TRUTH, float32, artifact)


def examined(of: Outputs, jump: float = 0.0, short_jump: float | None = None, noise: float = 0.0) -> Outputs:
    """Return outputs whose examination finds jumps and noise of this size, the same in all events."""

    def examine(rows: np.ndarray) -> Examination:
        shape = (2, len(rows), TRUTH.shape[1])
        short = jump if short_jump is None else short_jump
        return Examination(np.full(shape, jump), np.full(shape, short), np.full(shape[1:], noise))

    return dataclasses.replace(of, examine=examine)


def test_equal_outputs_pass() -> None:
    assert judge(outputs(), LABELS, STRICT).verdict == PASSED


def test_a_tolerance_that_was_asked_for_suffices_and_the_usual_one_does_only_for_few_events() -> None:
    usual, ten = STRICT.allowed(TRUTH)[1, 0] / OWN, Tolerance(rtol=10 * STRICT.rtol, atol=10 * STRICT.atol)
    assert judge(outputs(9 * usual), LABELS, ten).verdict == PASSED
    assert judge(outputs(11 * usual), LABELS, ten).verdict.status == "failed"
    steep = dataclasses.replace(outputs(), float32=TRUTH)  # an exact reference: each difference is a large error
    steep.artifact[1, 0] += 0.9 * usual * OWN
    for events, status in ((ENOUGH - 1, "passed"), (ENOUGH, "failed")):
        assert judge(steep.take(np.arange(events)), LABELS[:events], STRICT).verdict.status == status


def test_all_errors_together_may_be_five_times_the_references_own_and_no_more() -> None:
    for size, status in ((0.98 * BULK, "passed"), (1.02 * BULK, "failed")):
        of = Outputs(TRUTH, FLOAT32, TRUTH + size * (FLOAT32 - TRUTH))
        judgement = judge(of, LABELS, STRICT)
        assert judgement.verdict.status == status
        assert judgement.bulk == pytest.approx(size, rel=1e-3)
    assert "times the reference's own over all events (at most 5)" in judgement.verdict.reason


def test_failure_says_where_by_how_much_and_what_would_pass() -> None:
    judgement = judge(outputs(0.01 / OWN), LABELS, STRICT)
    reason = judgement.verdict.reason
    assert "1 of 2000 events differ from the reference by up to 0.01 (particles=9)" in reason
    assert f"{judgement.regular.smallest_rtol:.2g} (asked: 1e-05, atol 1e-06)" in reason
    needed = Tolerance(rtol=judgement.regular.smallest_rtol * (1 + 1e-6), atol=STRICT.atol)
    assert judge(outputs(0.01 / OWN), LABELS, needed).verdict == PASSED


@pytest.mark.parametrize(("error", "status"), [(0.98 * TAIL, "passed"), (1.02 * TAIL, "failed")])
def test_an_error_of_at_most_twelve_times_the_references_own_passes(error: float, status: str) -> None:
    judgement = judge(outputs(error), LABELS, STRICT)
    assert judgement.verdict.status == status
    assert judgement.tail == pytest.approx(error, rel=1e-3)
    assert judgement.share == pytest.approx(error / TAIL, rel=1e-3)
    assert judgement.where == "particles=9"


@pytest.mark.parametrize(("error", "status"), [(0.98 * TAIL, "passed"), (1.02 * TAIL, "failed")])
def test_a_larger_one_is_explained_by_what_the_reference_does_near_the_event(error: float, status: str) -> None:
    heavy = 10.0  # the event is so much worse conditioned than all
    judgement = judge(examined(outputs(heavy * error), noise=heavy * OWN), LABELS, STRICT)
    assert judgement.verdict.status == status
    assert not judgement.near_tie.any()


@pytest.mark.parametrize(("events", "status"), [(N // 200, "passed"), (N // 200 + 1, "failed")])
def test_what_the_reference_does_near_an_event_explains_one_of_two_hundred_and_no_more(
    events: int, status: str
) -> None:
    of = outputs()
    of.artifact[:events, 0] += 2 * TAIL * OWN
    assert judge(examined(of, noise=3 * OWN), LABELS, STRICT).verdict.status == status


@pytest.mark.parametrize(("error", "status"), [(0.98 * TIE, "passed"), (1.02 * TIE, "failed")])
def test_a_larger_one_is_explained_by_a_small_jump_of_half_its_size(error: float, status: str) -> None:
    jump = TAIL * OWN
    judgement = judge(examined(outputs(error * TAIL), jump), LABELS, STRICT)
    assert judgement.verdict.status == status
    assert judgement.near_tie.sum() == (status == "passed")


def test_what_is_not_examined_is_not_explained() -> None:
    assert judge(outputs(2 * TAIL), LABELS, STRICT).verdict.status == "failed"


@pytest.mark.parametrize(("ties", "status"), [(2, "passed"), (3, "failed")])
def test_one_event_in_a_thousand_may_be_ill_conditioned_and_no_more(ties: int, status: str) -> None:
    judgement = judge(outputs(ties=ties), LABELS, STRICT)
    assert judgement.verdict.status == status
    for agrees in (0.0, 0.1):  # with float64, with float32: that needs no explanation, in one event of a hundred
        for many in (ties, N // 100):
            assert judge(outputs(ties=many, artifact_in_ties=agrees), LABELS, STRICT).verdict == PASSED
        judged = judge(outputs(ties=N // 100 + 1, artifact_in_ties=agrees), LABELS, STRICT)
        assert "events are ill-conditioned" in judged.verdict.reason
    assert np.flatnonzero(judgement.near_tie).tolist() == list(range(N - ties, N))
    assert status == "passed" or f"{ties} of {N} events are ill-conditioned" in judgement.verdict.reason


def test_near_ties_do_not_hide_a_broken_artifact() -> None:
    assert judge(outputs(0.05 / OWN, ties=2), LABELS, STRICT).verdict.status == "failed"


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
    """Of three events, all are ill-conditioned."""
    truth = np.zeros((3, 4))
    judgement = judge(Outputs(truth, truth + 0.1, truth - 0.1), LABELS[:3], STRICT)
    assert "3 of 3 events are ill-conditioned" in judgement.verdict.reason
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


def unstable_outputs(events: int, artifact_error: float, far: bool = False) -> Outputs:
    """The reference jumps for the last `events` when their inputs change, and the artifact decides these otherwise."""
    artifact, jumps = TRUTH.copy(), np.zeros((2, *TRUTH.shape))
    if events:
        jumps[1, -events:, 2] = 0.1
    artifact[-events or N :, 2] += artifact_error
    short = np.zeros_like(jumps) if far else jumps
    return Outputs(
        TRUTH, FLOAT32, artifact, lambda rows: Examination(jumps[:, rows], short[:, rows], np.zeros_like(TRUTH[rows]))
    )


def test_artifact_may_decide_otherwise_where_rounding_decides_and_nowhere_else() -> None:
    assert judge(unstable_outputs(3, 0.1), LABELS, STRICT).verdict == PASSED
    assert judge(unstable_outputs(3, 0.1), LABELS, STRICT).near_tie.sum() == 3
    broken = unstable_outputs(2, 0.1)
    broken.artifact[-3, 2] += 0.1
    assert judge(broken, LABELS, STRICT).verdict.status == "failed"


def test_more_than_one_percent_of_events_decided_by_rounding_fails() -> None:
    assert judge(unstable_outputs(N // 100, 0.1), LABELS, STRICT).verdict == PASSED
    assert "decided by rounding" in judge(unstable_outputs(N // 100 + 1, 0.1), LABELS, STRICT).verdict.reason


def test_events_that_agree_need_no_explanation() -> None:
    agreeing = unstable_outputs(N // 2, 0.0)
    judgement = judge(dataclasses.replace(agreeing, examine=lambda rows: pytest.fail("examined")), LABELS, STRICT)
    assert judgement.verdict == PASSED
    assert not judgement.near_tie.any()


@pytest.mark.parametrize(("near", "status"), [(N // 10, "passed"), (N // 10 + 1, "failed")])
def test_ties_that_only_the_whole_move_finds_are_set_apart_up_to_ten_percent(near: int, status: str) -> None:
    judgement = judge(unstable_outputs(near, 0.1, far=True), LABELS, STRICT)
    assert judgement.verdict.status == status
    assert judgement.near_tie.sum() == (near if status == "passed" else 0)  # no one examines so many
    assert status == "passed" or "201 of 2000 events differ" in judgement.verdict.reason


def test_awkward_events_do_not_use_up_what_is_allowed() -> None:
    labels = LABELS.astype("U20")
    labels[-N // 50 :] = "equal particles"
    shaky = unstable_outputs(N // 50, 0.1)
    assert judge(shaky, labels, STRICT).verdict.status == "failed"
    assert judge(shaky, labels, STRICT, {"equal particles"}).verdict == PASSED


def test_no_events_do_not_pass() -> None:
    empty = np.empty((0, 4))
    assert judge(Outputs(empty, empty, empty), np.empty(0, str), STRICT).verdict.status == "failed"


def test_limits_are_those_whose_false_alarms_and_power_were_measured() -> None:
    """Whoever changes one runs `bench/verdict.py` again, and writes its figures into docs/validation.md."""
    assert (BULK, TAIL, TIE, NOISY_SHARE, ENOUGH) == (5, 12, 2, 5e-3, 100)
