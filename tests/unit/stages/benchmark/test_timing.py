import gc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelferry.stages.benchmark import timing
from modelferry.stages.benchmark.timing import (
    MINIMUM_SAMPLES,
    PATIENCE,
    SAMPLES_FOR_P99,
    WINDOW,
    summarise,
    time_in_turn,
    warm_up,
)

OUTPUT = np.zeros((1, 4))


class Clock:
    """Time that passes only when a call says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def call(self, seconds: Callable[[int], float], order: list[str] | None = None, name: str = "") -> timing.Call:
        count = 0

        def run() -> tuple[np.ndarray, float]:
            nonlocal count
            spent = seconds(count)
            self.now += spent
            count += 1
            if order is not None:
                order.append(name)
            return OUTPUT, spent

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", made)
    return made


@given(samples=arrays(np.float64, st.integers(2, 400), elements=st.floats(1e-3, 1e3)))
def test_percentiles_are_ordered_and_p99_needs_enough_samples(samples: np.ndarray) -> None:
    found = summarise(samples)
    assert found.samples == len(samples)
    assert samples.min() <= found.low <= found.high <= samples.max()
    assert samples.min() <= found.p50 <= found.p90 <= samples.max()
    assert found.p50 == pytest.approx(np.median(samples))
    assert (found.p99 is None) == (len(samples) < SAMPLES_FOR_P99)
    assert found.p99 is None or found.p90 <= found.p99 <= samples.max()


def test_no_sample_is_clipped() -> None:
    samples = np.ones(SAMPLES_FOR_P99)
    samples[-10:] = 1000
    found = summarise(samples)
    assert found.p50 == 1
    assert found.p99 == 1000


def test_interval_narrows_with_samples_and_holds_the_median() -> None:
    rng = np.random.default_rng(1)
    few, many = (summarise(rng.lognormal(size=count)) for count in (20, 2000))
    assert many.high - many.low < few.high - few.low
    assert few.low <= few.p50 <= few.high
    assert many.low <= 1.0 <= many.high


def test_calls_are_timed_in_turn_and_not_one_after_the_other(clock: Clock) -> None:
    order: list[str] = []
    calls = {name: clock.call(lambda _: 0.01, order, name) for name in ("a", "b", "c")}
    found = time_in_turn(calls, lambda _, value: True, 0.5)
    rounds = order[-30:]
    assert rounds == ["a", "b", "c"] * 10
    assert [latency.p50 for latency in found.values()] == [pytest.approx(10)] * 3
    assert len({latency.samples for latency in found.values()}) == 1
    assert 0.5 <= found["a"].samples * 0.01 <= 0.5 * PATIENCE + 0.02


def test_without_tails_no_time_is_spent_on_them(clock: Clock) -> None:
    found = time_in_turn({"a": clock.call(lambda _: 0.01)}, lambda _, value: True, 0.5, tails=False)
    assert found["a"].samples * 0.01 == pytest.approx(0.5, abs=0.02)
    assert found["a"].p99 is None


def test_each_call_gets_its_own_time(clock: Clock) -> None:
    calls = {"fast": clock.call(lambda _: 0.001), "slow": clock.call(lambda _: 0.1)}
    found = time_in_turn(calls, lambda _, value: True, 0.5)
    assert found["fast"].p50 == pytest.approx(1)
    assert found["slow"].p50 == pytest.approx(100)
    assert found["slow"].samples >= MINIMUM_SAMPLES
    assert found["fast"].samples >= 500


def test_first_slow_calls_are_warm_up_and_no_samples(clock: Clock) -> None:
    slow_start = clock.call(lambda count: 1.0 if count < 10 else 0.01)
    found = time_in_turn({"a": slow_start}, lambda _, value: True, 20.0)
    assert found["a"].p99 == pytest.approx(10)


def test_warm_up_goes_on_while_the_time_falls(clock: Clock) -> None:
    falling = clock.call(lambda count: 1.0 * 0.8 ** min(count, 60))
    assert warm_up(falling, 1e9) > 60
    assert warm_up(clock.call(lambda _: 0.5), 1e9) == 2 * WINDOW


def test_warm_up_ends_at_its_limit(clock: Clock) -> None:
    falling = clock.call(lambda count: 0.9**count)
    warm_up(falling, 0.0)
    assert clock.now <= sum(0.9**count for count in range(2 * WINDOW + 1))


def test_outputs_are_checked_while_timing(clock: Clock) -> None:
    calls = {"right": clock.call(lambda _: 0.01), "wrong": lambda: (OUTPUT + 1, clock.call(lambda _: 0.01)()[1])}
    found = time_in_turn(calls, lambda _, value: bool((value == OUTPUT).all()), 0.1)
    assert found["right"].correct
    assert not found["wrong"].correct


def test_output_that_goes_wrong_later_is_seen(clock: Clock) -> None:
    count = 0

    def drifting() -> tuple[np.ndarray, float]:
        nonlocal count
        count += 1
        clock.now += 0.01
        return OUTPUT if count < 60 else OUTPUT + 1, 0.01

    assert not time_in_turn({"a": drifting}, lambda _, value: bool((value == OUTPUT).all()), 1.0)["a"].correct


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_off_while_timing_and_then_as_it_was(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        seen: list[bool] = []

        def call() -> tuple[np.ndarray, float]:
            seen.append(gc.isenabled())
            return OUTPUT, 0.0

        time_in_turn({"a": call}, lambda _, value: True, 0.0)
        assert not any(seen)
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
